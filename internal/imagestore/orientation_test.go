package imagestore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireCorners compares the middles of the four quarters, with the tolerance that JPEG asks for.
func requireCorners(t testing.TB, m image.Image, want ...color.NRGBA) {
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	for i, at := range []image.Point{{w / 4, h / 4}, {w * 3 / 4, h / 4}, {w / 4, h * 3 / 4}, {w * 3 / 4, h * 3 / 4}} {
		got := color.NRGBAModel.Convert(m.At(at.X, at.Y)).(color.NRGBA)
		require.InDelta(t, want[i].R, got.R, 12, "quarter %d: %v", i, got)
		require.InDelta(t, want[i].G, got.G, 12, "quarter %d: %v", i, got)
		require.InDelta(t, want[i].B, got.B, 12, "quarter %d: %v", i, got)
	}
}

// upright says what the quarters become: upper left, upper right, lower left, lower right.
var upright = map[uint16][]color.NRGBA{
	0: {red, green, blue, white},
	1: {red, green, blue, white},
	2: {green, red, white, blue},
	3: {white, blue, green, red},
	4: {blue, white, red, green},
	5: {red, blue, green, white},
	6: {blue, red, white, green},
	7: {white, green, blue, red},
	8: {green, white, red, blue},
	9: {red, green, blue, white},
}

func TestClean_applies_orientation(t *testing.T) {
	t.Parallel()
	for orientation, want := range upright {
		size := image.Pt(64, 32)
		if orientation >= 5 && orientation <= 8 {
			size = image.Pt(32, 64)
		}
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			t.Run(fmt.Sprintf("JPEG %d %v", orientation, order), func(t *testing.T) {
				p := mustClean(t, withEXIF(encodedJPEG(t, quarters(64, 32)), order, orientation))
				m, err := jpeg.Decode(bytes.NewReader(p.Data))
				require.NoError(t, err)
				require.Equal(t, size, m.Bounds().Size())
				requireCorners(t, m, want...)
				require.NotContains(t, string(p.Data), "GPS")
				require.NotContains(t, string(p.Data), "Exif")
			})
			t.Run(fmt.Sprintf("PNG %d %v", orientation, order), func(t *testing.T) {
				raw := withPNGChunk(encodedPNG(t, quarters(64, 32)), "eXIf", string(exif(order, orientation)))
				m, err := png.Decode(bytes.NewReader(mustClean(t, raw).Data))
				require.NoError(t, err)
				require.Equal(t, size, m.Bounds().Size())
				requireCorners(t, m, want...)
			})
		}
	}
}

func TestOrientation_is_found_behind_other_segments(t *testing.T) {
	t.Parallel()
	raw := withEXIF(encodedJPEG(t, quarters(8, 8)), binary.BigEndian, 6)
	raw = withSegment(raw, 0xE1, "http://ns.adobe.com/xap/1.0/\x00<xmp/>")
	raw = withSegment(raw, 0xE0, "JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x00\x00")
	raw = append([]byte{0xFF, 0xD8, 0xFF, 0xFF, 0xFF}, raw[3:]...)
	require.EqualValues(t, 6, jpegOrientation(raw))
	mustClean(t, raw)
}

func TestOrientation_apply_keeps_every_pixel(t *testing.T) {
	t.Parallel()
	rect := image.Rect(0, 0, 7, 5)
	noise := func(pix []uint8) {
		for i := range pix {
			pix[i] = uint8(rand.Uint32())
		}
	}
	gray, gray16, rgba64 := image.NewGray(rect), image.NewGray16(rect), image.NewRGBA64(rect)
	rgba, nrgba, nrgba64 := image.NewRGBA(rect), image.NewNRGBA(rect), image.NewNRGBA64(rect)
	paletted := image.NewPaletted(rect, color.Palette{red, green, blue, white})
	for _, pix := range [][]uint8{gray.Pix, gray16.Pix, rgba64.Pix, rgba.Pix, nrgba.Pix, nrgba64.Pix} {
		noise(pix)
	}
	for i := range paletted.Pix {
		paletted.Pix[i] = uint8(i % 4)
	}
	wide := image.NewGray(image.Rect(0, 0, 9, 9)) // its rows are longer than the part that is seen
	noise(wide.Pix)
	part := wide.SubImage(image.Rect(0, 0, 7, 5))

	for _, m := range []image.Image{gray, gray16, rgba64, rgba, nrgba, nrgba64, paletted, part} {
		for o := range orientation(10) {
			got := o.apply(m)
			require.IsType(t, m, got)
			samePixels(t, turnedSlowly(m, o), got)
		}
	}
	colour := image.NewYCbCr(rect, image.YCbCrSubsampleRatio420)
	noise(colour.Y)
	noise(colour.Cb)
	samePixels(t, turnedSlowly(toRGBA(colour), 6), orientation(6).apply(colour))
}

// turnedSlowly follows the words of the EXIF standard: where the stored first row and first column are seen.
func turnedSlowly(m image.Image, o orientation) image.Image {
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	size := image.Rect(0, 0, w, h)
	if o >= 5 && o <= 8 {
		size = image.Rect(0, 0, h, w)
	}
	out := image.NewRGBA64(size)
	for y := range h {
		for x := range w {
			to := map[orientation]image.Point{
				2: {w - 1 - x, y}, 3: {w - 1 - x, h - 1 - y}, 4: {x, h - 1 - y},
				5: {y, x}, 6: {h - 1 - y, x}, 7: {h - 1 - y, w - 1 - x}, 8: {y, w - 1 - x},
			}
			at, ok := to[o]
			if !ok {
				at = image.Pt(x, y)
			}
			out.Set(at.X, at.Y, m.At(x, y))
		}
	}
	return out
}

func TestTIFFOrientation_of_hostile_bytes(t *testing.T) {
	t.Parallel()
	good := exif(binary.LittleEndian, 6)
	require.EqualValues(t, 6, tiffOrientation(good))
	for name, change := range map[string]func(b []byte) []byte{
		"empty":                 func([]byte) []byte { return nil },
		"mark alone":            func(b []byte) []byte { return b[:4] },
		"header alone":          func(b []byte) []byte { return b[:8] },
		"cut in the entry":      func(b []byte) []byte { return b[:8+2+11] },
		"directory far outside": func(b []byte) []byte { return append(append(b[:4:4], 0xFF, 0xFF, 0xFF, 0xFF), b[8:]...) },
		"directory at the end":  func(b []byte) []byte { return append(append(b[:4:4], byte(len(b)-1), 0, 0, 0), b[8:]...) },
		"no entries":            func(b []byte) []byte { return append(append(b[:8:8], 0, 0), b[10:]...) },
		"another type":          func(b []byte) []byte { return append(append(b[:12:12], 4), b[13:]...) },
		"another order":         func(b []byte) []byte { return append([]byte("MM\x00*"), b[4:]...) },
		"not a TIFF":            func(b []byte) []byte { return append([]byte("XX"), b[2:]...) },
	} {
		t.Run(name, func(t *testing.T) { require.Zero(t, tiffOrientation(change(bytes.Clone(good)))) })
	}
	require.Zero(t, jpegOrientation(withSegment([]byte("\xff\xd8"), 0xFE, "Exif\x00\x00"+string(good))), "a comment")
	require.Zero(t, jpegOrientation([]byte("\xff\xd8\xff\xe1\x00\x01Exif")))
	require.Zero(t, jpegOrientation([]byte("\xff\xd8\xff\xe1\xff\xffExif")))
	require.Zero(t, pngOrientation([]byte("\x89PNG\r\n\x1a\n\xff\xff\xff\xffeXIf\x00\x00\x00\x00")))
}

func FuzzOrientation(f *testing.F) {
	f.Add(exif(binary.LittleEndian, 6))
	f.Add(exif(binary.BigEndian, 3))
	f.Add(withEXIF(encodedJPEG(f, quarters(8, 8)), binary.BigEndian, 8))
	f.Add(withPNGChunk(encodedPNG(f, quarters(8, 8)), "eXIf", string(exif(binary.LittleEndian, 2))))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		tiffOrientation(raw)
		jpegOrientation(append([]byte("\xff\xd8\xff"), raw...))
		pngOrientation(append([]byte("\x89PNG\r\n\x1a\n"), raw...))
	})
}

package imagestore

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"
)

// Pictures of one pixel, as the WebP project gives them for finding out what a browser can do.
const (
	lossyWebP    = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA"
	losslessWebP = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="
	alphaWebP    = "UklGRkoAAABXRUJQVlA4WAoAAAAQAAAAAAAAAAAAQUxQSAwAAAARBxAR/Q9ERP8DAABWUDggGAAAABQBAJ0BKgEAAQAAAP4AAA3AAP7mtQAAAA=="
	movingWebP   = "UklGRlIAAABXRUJQVlA4WAoAAAASAAAAAAAAAAAAQU5JTQYAAAD/////AABBTk1GJgAAAAAAAAAAAAAAAAAAAGQAAABWUDhMDQAAAC8AAAAQBxAREYiI/gcA"
)

func decode64(t testing.TB, text string) []byte {
	raw, err := base64.StdEncoding.DecodeString(text)
	require.NoError(t, err)
	return raw
}

func encodedPNG(t testing.TB, m image.Image) []byte {
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, m))
	return b.Bytes()
}

func encodedJPEG(t testing.TB, m image.Image) []byte {
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}))
	return b.Bytes()
}

var (
	red   = color.NRGBA{R: 255, A: 255}
	green = color.NRGBA{G: 255, A: 255}
	blue  = color.NRGBA{B: 255, A: 255}
	white = color.NRGBA{R: 255, G: 255, B: 255, A: 255}
)

// quarters is red and green above blue and white.
func quarters(width, height int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			switch left, top := x < width/2, y < height/2; {
			case left && top:
				m.Set(x, y, red)
			case top:
				m.Set(x, y, green)
			case left:
				m.Set(x, y, blue)
			default:
				m.Set(x, y, white)
			}
		}
	}
	return m
}

func samePixels(t testing.TB, want, got image.Image) {
	require.Equal(t, want.Bounds().Size(), got.Bounds().Size())
	for y := range want.Bounds().Dy() {
		for x := range want.Bounds().Dx() {
			r1, g1, b1, a1 := want.At(x, y).RGBA()
			r2, g2, b2, a2 := got.At(x, y).RGBA()
			require.Equal(t, [4]uint32{r1, g1, b1, a1}, [4]uint32{r2, g2, b2, a2}, "at %d,%d", x, y)
		}
	}
}

// exif is what a phone writes: the orientation and a place.
func exif(order binary.AppendByteOrder, orientation uint16) []byte {
	b := []byte("II*\x00")
	if order == binary.BigEndian {
		b = []byte("MM\x00*")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	entry := func(tag, kind uint16, count uint32) {
		b = order.AppendUint16(b, tag)
		b = order.AppendUint16(b, kind)
		b = order.AppendUint32(b, count)
	}
	entry(0x0112, 3, 1)
	b = order.AppendUint16(b, orientation)
	b = order.AppendUint16(b, 0)
	entry(0x8825, 4, 1) // the GPS directory
	b = order.AppendUint32(b, uint32(len(b)+8))
	b = order.AppendUint32(b, 0)
	return append(b, "GPSLatitude 48.2082 N"...)
}

// withSegment puts a segment right behind a JPEG's first marker.
func withSegment(raw []byte, marker byte, data string) []byte {
	out := append([]byte{0xFF, 0xD8, 0xFF, marker}, byte((len(data)+2)>>8), byte(len(data)+2))
	out = append(out, data...)
	return append(out, raw[2:]...)
}

func withEXIF(raw []byte, order binary.AppendByteOrder, orientation uint16) []byte {
	return withSegment(raw, 0xE1, "Exif\x00\x00"+string(exif(order, orientation)))
}

func pngChunk(kind, data string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(b, kind+data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte(kind+data)))
}

// withPNGChunk puts a chunk right behind IHDR.
func withPNGChunk(raw []byte, kind, data string) []byte {
	const headerEnd = 8 + 12 + 13
	out := append(bytes.Clone(raw[:headerEnd]), pngChunk(kind, data)...)
	return append(out, raw[headerEnd:]...)
}

// oneBitPNG has the most pixels for the least work.
func oneBitPNG(t testing.TB, width, height int) []byte {
	header := binary.BigEndian.AppendUint32(nil, uint32(width))
	header = binary.BigEndian.AppendUint32(header, uint32(height))
	header = append(header, 1, 3, 0, 0, 0) // 1 bit, palette
	var pixels bytes.Buffer
	w := zlib.NewWriter(&pixels)
	_, err := w.Write(make([]byte, height*(1+(width+7)/8)))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	out := append([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", string(header))...)
	out = append(out, pngChunk("PLTE", "\xff\x00\x00\xff\xff\xff")...)
	out = append(out, pngChunk("IDAT", pixels.String())...)
	return append(out, pngChunk("IEND", "")...)
}

// claimedPNG is 57 bytes that claim to be a picture of any size.
func claimedPNG(width, height uint32) []byte {
	header := binary.BigEndian.AppendUint32(nil, width)
	header = binary.BigEndian.AppendUint32(header, height)
	header = append(header, 8, 6, 0, 0, 0) // 8 bits, RGBA
	out := append([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", string(header))...)
	out = append(out, pngChunk("IDAT", "")...)
	return append(out, pngChunk("IEND", "")...)
}

// claimedJPEG ends where its pixels would begin.
func claimedJPEG(width, height int) []byte {
	frame := []byte{8, byte(height >> 8), byte(height), byte(width >> 8), byte(width), 1, 1, 0x11, 0}
	return append(withSegment([]byte{0xFF, 0xD8}, 0xC0, string(frame)), 0xFF, 0xDA, 0, 2)
}

// plainVP8L is the lossless stream of a picture of one colour: each of its five codes has a single symbol, so that
// a pixel takes no bits at all.
func plainVP8L(width, height int, c color.NRGBA) []byte {
	var bits uint64
	var n uint
	out := []byte{0x2F}
	put := func(v, count int) {
		bits |= uint64(v) << n
		for n += uint(count); n >= 8; n -= 8 {
			out = append(out, byte(bits))
			bits >>= 8
		}
	}
	put(width-1, 14)
	put(height-1, 14)
	put(0, 1+3) // no alpha, version 0
	put(0, 3)   // no transform, no colour cache, one group of codes
	for _, symbol := range []uint8{c.G, c.R, c.B, c.A, 0} {
		put(1, 1) // a simple code
		put(0, 1) // of one symbol
		put(1, 1) // with 8 bits
		put(int(symbol), 8)
	}
	put(0, 7) // fill the last byte
	return out
}

func riff(chunks ...[]byte) []byte {
	body := append([]byte("WEBP"), bytes.Join(chunks, nil)...)
	return appendChunk(nil, "RIFF", body)
}

func chunk(id string, data []byte) []byte { return appendChunk(nil, id, data) }

// vp8x is the extended header with the given flags.
func vp8x(flags byte, width, height int) []byte {
	w, h := width-1, height-1
	return chunk("VP8X", []byte{flags, 0, 0, 0, byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)})
}

package imagestore

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/draw"
)

// orientation is the EXIF tag 0x0112 (CIPA DC-008, section 4.6.4): how to turn the stored pixels for the eye. A phone
// held upright stores them lying on their side. Anything but 2 to 8 stands for "as stored".
type orientation uint16

// jpegOrientation looks for EXIF in front of the pixels. What it cannot follow it takes for "as stored".
func jpegOrientation(raw []byte) orientation {
	const startOfScan, app1 = 0xDA, 0xE1
	for p := raw[2:]; len(p) >= 4 && p[0] == 0xFF; {
		if p[1] == 0xFF { // a fill byte
			p = p[1:]
			continue
		}
		marker, end := p[1], 2+int(binary.BigEndian.Uint16(p[2:]))
		if marker == startOfScan || end < 4 || end > len(p) {
			break
		}
		if tiff, ok := bytes.CutPrefix(p[4:end], []byte("Exif\x00\x00")); ok && marker == app1 {
			return tiffOrientation(tiff)
		}
		p = p[end:]
	}
	return 0
}

// pngOrientation looks for the chunk eXIf (PNG third edition, section 11.3.4.5).
func pngOrientation(raw []byte) orientation {
	const head, crc = 8, 4
	for p := raw[8:]; len(p) >= head+crc; {
		n := int64(binary.BigEndian.Uint32(p))
		if n > int64(len(p)-head-crc) {
			break
		}
		if string(p[4:head]) == "eXIf" {
			return tiffOrientation(p[head : head+n])
		}
		p = p[head+n+crc:]
	}
	return 0
}

// tiffOrientation reads the tag from the first directory of an EXIF block, which is a TIFF file.
func tiffOrientation(tiff []byte) orientation {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(tiff, []byte("II*\x00")):
		order = binary.LittleEndian
	case bytes.HasPrefix(tiff, []byte("MM\x00*")):
		order = binary.BigEndian
	default:
		return 0
	}
	if len(tiff) < 8 {
		return 0
	}
	start := int64(order.Uint32(tiff[4:]))
	if start > int64(len(tiff)-2) {
		return 0
	}
	const entrySize, tagOrientation, typeShort = 12, 0x0112, 3
	entries := tiff[start+2:]
	for range order.Uint16(tiff[start:]) {
		if len(entries) < entrySize {
			break
		}
		if order.Uint16(entries) == tagOrientation && order.Uint16(entries[2:]) == typeShort {
			return orientation(order.Uint16(entries[8:]))
		}
		entries = entries[entrySize:]
	}
	return 0
}

// turn says where a turned picture's pixel (x, y) is stored: at (x, y), or (y, x) if transposed, counted from the
// other side where mirrored.
type turn struct{ transposed, mirroredX, mirroredY bool }

var turns = map[orientation]turn{
	2: {mirroredX: true},
	3: {mirroredX: true, mirroredY: true},
	4: {mirroredY: true},
	5: {transposed: true},
	6: {transposed: true, mirroredY: true},
	7: {transposed: true, mirroredX: true, mirroredY: true},
	8: {transposed: true, mirroredX: true},
}

// apply gives m as it is meant to be seen, in m's own colour model. A JPEG's chroma, of fewer samples than pixels,
// cannot be turned in place, so that colour photographs become RGBA.
func (o orientation) apply(m image.Image) image.Image {
	t, ok := turns[o]
	if !ok {
		return m
	}
	switch m := m.(type) {
	case *image.Gray:
		pix, stride, rect := t.pixels(m.Pix, m.Stride, m.Rect, 1)
		return &image.Gray{Pix: pix, Stride: stride, Rect: rect}
	case *image.Gray16:
		pix, stride, rect := t.pixels(m.Pix, m.Stride, m.Rect, 2)
		return &image.Gray16{Pix: pix, Stride: stride, Rect: rect}
	case *image.Paletted:
		pix, stride, rect := t.pixels(m.Pix, m.Stride, m.Rect, 1)
		return &image.Paletted{Pix: pix, Stride: stride, Rect: rect, Palette: m.Palette}
	case *image.RGBA:
		pix, stride, rect := t.pixels(m.Pix, m.Stride, m.Rect, 4)
		return &image.RGBA{Pix: pix, Stride: stride, Rect: rect}
	case *image.NRGBA:
		pix, stride, rect := t.pixels(m.Pix, m.Stride, m.Rect, 4)
		return &image.NRGBA{Pix: pix, Stride: stride, Rect: rect}
	case *image.RGBA64:
		pix, stride, rect := t.pixels(m.Pix, m.Stride, m.Rect, 8)
		return &image.RGBA64{Pix: pix, Stride: stride, Rect: rect}
	case *image.NRGBA64:
		pix, stride, rect := t.pixels(m.Pix, m.Stride, m.Rect, 8)
		return &image.NRGBA64{Pix: pix, Stride: stride, Rect: rect}
	default:
		return o.apply(toRGBA(m))
	}
}

// pixels turns pixels of size bytes each.
func (t turn) pixels(src []byte, srcStride int, srcRect image.Rectangle, size int) (dst []byte, stride int, rect image.Rectangle) {
	from, right, down := 0, size, srcStride
	if t.mirroredX {
		from, right = from+(srcRect.Dx()-1)*size, -right
	}
	if t.mirroredY {
		from, down = from+(srcRect.Dy()-1)*srcStride, -down
	}
	width, height := srcRect.Dx(), srcRect.Dy()
	if t.transposed {
		right, down = down, right
		width, height = height, width
	}
	stride = width * size
	dst = make([]byte, stride*height)
	for y := range height {
		row := dst[y*stride : (y+1)*stride]
		at := from + y*down
		for ; len(row) > 0; row = row[size:] {
			copy(row[:size], src[at:])
			at += right
		}
	}
	return dst, stride, image.Rect(0, 0, width, height)
}

func toRGBA(m image.Image) *image.RGBA {
	rgba := image.NewRGBA(image.Rect(0, 0, m.Bounds().Dx(), m.Bounds().Dy()))
	draw.Draw(rgba, rgba.Rect, m, m.Bounds().Min, draw.Src)
	return rgba
}

package demo

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
)

// side is how wide and high a picture is, in pixels.
const side = 160

// picture draws a product: the ground tells its category, the form its kind, and the form's size its variant.
func picture(category, kind, variant int) ([]byte, error) {
	ground := color.RGBA{R: uint8(60 + 37*category%150), G: uint8(70 + 83*category%140), B: uint8(80 + 59*category%130), A: 255} //nolint:gosec // below 256
	canvas := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{ground, color.RGBA{R: 245, G: 240, B: 225, A: 255}})
	draw.Draw(canvas, canvas.Bounds(), image.NewUniform(ground), image.Point{}, draw.Src)
	draw.DrawMask(canvas, canvas.Bounds(), image.NewUniform(canvas.Palette[1]), image.Point{}, form{kind, 30 + 8*variant}, image.Point{}, draw.Over)
	var b bytes.Buffer
	err := png.Encode(&b, canvas)
	return b.Bytes(), err
}

// form is a mask in the middle of a picture.
type form struct{ kind, radius int }

// ColorModel is that of a mask.
func (form) ColorModel() color.Model { return color.AlphaModel }

// Bounds are the picture's.
func (form) Bounds() image.Rectangle { return image.Rect(0, 0, side, side) }

// At is opaque inside of the form.
func (f form) At(x, y int) color.Color {
	x, y = x-side/2, y-side/2
	if f.holds(x, y) {
		return color.Opaque
	}
	return color.Transparent
}

func (f form) holds(x, y int) bool {
	r, square := f.radius, x*x+y*y
	switch f.kind {
	case 0: // a disc
		return square <= r*r
	case 1: // a square
		return max(x, -x, y, -y) <= r*4/5
	case 2: // a triangle
		return y <= r*2/3 && 2*max(x, -x) <= y+r
	case 3: // a diamond
		return max(x, -x)+max(y, -y) <= r
	default: // a ring
		return square <= r*r && square >= r*r/3
	}
}

package imagestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"time"

	"golang.org/x/image/webp"
	"golang.org/x/sync/semaphore"

	"inventoryhub/internal/domain"
)

// What a picture may be, before it is decoded.
const (
	// MaxBytes is the largest picture that is taken in, in bytes.
	MaxBytes = 5 << 20
	// MaxPixels is the largest area of a picture.
	MaxPixels = 40_000_000
	// MaxSide is the largest width and the largest height of a picture, in pixels.
	MaxSide = 12_000
)

const (
	// maxKeptBytes bounds a cleaned picture. Go writes a scan of 1 bit a pixel with 8 bits, which about doubles
	// the file, and JPEG of low quality grows too; what grows more than fourfold was made to.
	maxKeptBytes = 4 * MaxBytes
	// cleanLimit is the time for one picture once it has its turn. A progressive JPEG within all other limits can
	// ask for a hundred thousand passes over 40 megapixels; honest pictures of that size take 0.8 s (JPEG) to 4.3 s
	// (PNG with 16 bits a channel; measured on two cores, 2026-11-22).
	cleanLimit = 8 * time.Second
	// jpegQuality is where the loss of writing a photograph once more is no longer seen.
	jpegQuality = 90
)

// decodes is of the process, not of a Store, because so is the memory it guards: one decode may take 10 bytes and
// more for each of the 40 megapixels.
var decodes = semaphore.NewWeighted(2)

// Picture is a cleaned picture, as [Clean] makes it and [Store.Put] keeps it.
type Picture struct {
	Data []byte
	Ext  string // "png", "jpg" or "webp"
}

// format is a kind of picture that is taken in.
type format struct {
	name   string // for messages
	ext    string
	is     func(raw []byte) bool
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
	// strip takes out what is no picture. It is nil where encode does that.
	strip func(raw []byte) ([]byte, error)
	// orientation finds the EXIF orientation, and encode writes the picture anew. They are nil together, where no
	// encoder exists.
	orientation func(raw []byte) orientation
	encode      func(io.Writer, image.Image) error
}

var formats = []format{
	{
		name: "PNG", ext: "png", is: isPNG,
		config: png.DecodeConfig, decode: png.Decode, orientation: pngOrientation, encode: png.Encode,
	},
	{
		name: "JPEG", ext: "jpg", is: isJPEG,
		config: jpeg.DecodeConfig, decode: jpeg.Decode, orientation: jpegOrientation, encode: encodeJPEG,
	},
	{
		name: "WebP", ext: "webp", is: isWebP,
		config: webp.DecodeConfig, decode: webp.Decode, strip: stripWebP,
	},
}

// Clean proves that raw is a whole PNG, JPEG or WebP file, told by its bytes, and gives the picture in it without
// metadata, trailing bytes or anything else that is not the picture. PNG and JPEG are turned as their EXIF
// orientation says and written anew; a WebP file keeps the picture's own chunks as they came and is not turned,
// because Go has no encoder for it.
//
// A picture that is no good is a KindInvalid on "image", found before memory is spent on it where its header tells.
// At most two pictures are decoded at a time in this process; a ctx that ends while others have their turn, or
// a picture that is not done in 8 s, is a KindUnavailable.
func Clean(ctx context.Context, raw []byte) (Picture, error) {
	if len(raw) > MaxBytes {
		return Picture{}, domain.Invalid("image", "The image must be at most %d MiB", MaxBytes>>20)
	}
	f, err := formatOf(raw)
	if err != nil {
		return Picture{}, err
	}
	if f.strip != nil {
		if raw, err = f.strip(raw); err != nil {
			return Picture{}, err
		}
	}
	if err := f.checkDimensions(raw); err != nil {
		return Picture{}, err
	}
	if err := decodes.Acquire(ctx, 1); err != nil {
		return Picture{}, domain.Unavailable(fmt.Errorf("wait to decode a picture: %w", err))
	}
	defer decodes.Release(1)
	ctx, cancel := context.WithTimeout(ctx, cleanLimit)
	defer cancel()
	data, err := f.rewrite(ctx, raw)
	if err != nil {
		return Picture{}, err
	}
	return Picture{Data: data, Ext: f.ext}, nil
}

func formatOf(raw []byte) (format, error) {
	for _, f := range formats {
		if f.is(raw) {
			return f, nil
		}
	}
	return format{}, domain.Invalid("image", "The image must be a PNG, JPEG or WebP file")
}

func (f format) checkDimensions(raw []byte) error {
	config, err := f.config(bytes.NewReader(raw))
	if err != nil || config.Width < 1 || config.Height < 1 {
		return f.damaged()
	}
	var faults domain.Faults
	if config.Width > MaxSide || config.Height > MaxSide {
		faults.Add("image", "The image must be at most %d pixels wide and %d pixels high", MaxSide, MaxSide)
	}
	if int64(config.Width)*int64(config.Height) > MaxPixels {
		faults.Add("image", "The image must be at most %d megapixels", MaxPixels/1_000_000)
	}
	return faults.Err()
}

// rewrite decodes raw wholly and gives the bytes to keep.
func (f format) rewrite(ctx context.Context, raw []byte) ([]byte, error) {
	m, err := f.decode(&boundedReader{ctx: ctx, r: bytes.NewReader(raw)})
	switch {
	case ctx.Err() != nil:
		return nil, domain.Unavailable(fmt.Errorf("decode a picture: %w", ctx.Err()))
	case err != nil:
		return nil, f.damaged()
	case f.encode == nil:
		return raw, nil
	}
	w := &boundedWriter{ctx: ctx}
	err = f.encode(w, f.orientation(raw).apply(m))
	switch {
	case ctx.Err() != nil:
		return nil, domain.Unavailable(fmt.Errorf("encode a picture: %w", ctx.Err()))
	case errors.Is(err, errTooMuch):
		return nil, domain.Invalid("image", "The image must be at most %d MiB once its pixels are written anew", maxKeptBytes>>20)
	case err != nil:
		return nil, fmt.Errorf("encode a picture: %w", err)
	}
	return w.buf.Bytes(), nil
}

func (f format) damaged() error {
	return domain.Invalid("image", "The image is not a whole %s file, or one of a kind that cannot be read", f.name)
}

func isPNG(raw []byte) bool { return bytes.HasPrefix(raw, []byte("\x89PNG\r\n\x1a\n")) }

func isJPEG(raw []byte) bool { return bytes.HasPrefix(raw, []byte("\xff\xd8\xff")) }

func encodeJPEG(w io.Writer, m image.Image) error {
	if cmyk, ok := m.(*image.CMYK); ok {
		// The encoder would ask for each pixel through an interface: 40 million allocations.
		m = toRGBA(cmyk)
	}
	return jpeg.Encode(w, m, &jpeg.Options{Quality: jpegQuality})
}

// boundedReader ends a decoder, which takes no context, with its ctx. Decoders read 4 KiB at a time, which keep the
// worst of them, progressive JPEG, busy for some tenths of a second.
type boundedReader struct {
	ctx context.Context
	r   io.Reader
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}

var errTooMuch = errors.New("more bytes than a picture may have")

// boundedWriter ends an encoder with its ctx, or when it has written more than a picture may have.
type boundedWriter struct {
	ctx context.Context
	buf bytes.Buffer
}

func (b *boundedWriter) Write(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.buf.Len()+len(p) > maxKeptBytes {
		return 0, errTooMuch
	}
	return b.buf.Write(p)
}

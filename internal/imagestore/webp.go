package imagestore

import (
	"bytes"
	"encoding/binary"

	"inventoryhub/internal/domain"
)

func isWebP(raw []byte) bool {
	return len(raw) >= 12 && bytes.HasPrefix(raw, []byte("RIFF")) && string(raw[8:12]) == "WEBP"
}

// stripWebP gives the file with the chunks that make up its one picture (RFC 9649, section 2.7): the extended header
// VP8X, the transparency ALPH and the pixels. What stands behind them goes too. That the chunks are good is left to
// the decoder, which is shown the result.
func stripWebP(raw []byte) ([]byte, error) {
	end := 8 + int64(binary.LittleEndian.Uint32(raw[4:]))
	if end < 12 || end > int64(len(raw)) {
		return nil, damagedWebP()
	}
	out := append(make([]byte, 0, end+1), "RIFF\x00\x00\x00\x00WEBP"...)
	for rest := raw[12:end]; len(rest) >= 8; {
		id, size := string(rest[:4]), int64(binary.LittleEndian.Uint32(rest[4:]))
		if size > int64(len(rest)-8) {
			return nil, damagedWebP()
		}
		data := rest[8 : 8+size]
		switch id {
		case "VP8X":
			header, err := stillHeader(data)
			if err != nil {
				return nil, err
			}
			out = appendChunk(out, id, header)
		case "ALPH":
			out = appendChunk(out, id, data)
		case "ANIM", "ANMF":
			return nil, animatedWebP()
		case "VP8 ", "VP8L":
			out = appendChunk(out, id, data)
			binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
			return out, nil
		}
		// Chunks are padded to an even length, if the last one is not.
		rest = rest[min(int64(len(rest)), 8+size+size%2):]
	}
	return nil, damagedWebP()
}

// stillHeader gives the data of a VP8X chunk that promises nothing but a picture, opaque or not: flags, 3 bytes
// reserved, and twice 3 bytes of size.
func stillHeader(data []byte) ([]byte, error) {
	const animation, alpha = 1 << 1, 1 << 4
	if len(data) != 10 {
		return nil, damagedWebP()
	}
	if data[0]&animation != 0 {
		return nil, animatedWebP()
	}
	return append([]byte{data[0] & alpha, 0, 0, 0}, data[4:]...), nil
}

func appendChunk(out []byte, id string, data []byte) []byte {
	out = append(out, id...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(data)))
	out = append(out, data...)
	if len(data)%2 == 1 {
		out = append(out, 0)
	}
	return out
}

func animatedWebP() error {
	return domain.Invalid("image", "The image must not be animated")
}

func damagedWebP() error {
	return format{name: "WebP"}.damaged()
}

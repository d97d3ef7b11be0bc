package attacks_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pngOf draws a picture.
func pngOf(t *testing.T, width, height int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	m.Set(0, 0, color.RGBA{R: 200, G: 100, A: 255})
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, m))
	return b.Bytes()
}

func pictureText(t *testing.T) string {
	t.Helper()
	return base64.StdEncoding.EncodeToString(pngOf(t, 2, 2))
}

// chunk is a part of a PNG file with its checksum.
func chunk(kind string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

const signature = "\x89PNG\r\n\x1a\n"

// claimed is a PNG file of a few bytes that claims to be of any size.
func claimed(width, height uint32) []byte {
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	b := append([]byte(signature), chunk("IHDR", append(header, 8, 6, 0, 0, 0))...)
	b = append(b, chunk("IDAT", []byte{0x78, 0x9c, 0x63, 0, 0, 0, 1, 0, 1})...)
	return append(b, chunk("IEND", nil)...)
}

// part is one of a form.
type part struct{ disposition, media, content string }

func field(name, content string) part {
	return part{disposition: `form-data; name="` + name + `"`, content: content}
}

func file(name string, content []byte) part {
	return part{disposition: `form-data; name="image"; filename="` + name + `"`, media: "image/png", content: string(content)}
}

// form sends a multipart form.
func (c *client) form(t *testing.T, method, path string, parts ...part) answer {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		header := textproto.MIMEHeader{}
		if p.disposition != "" {
			header.Set("Content-Disposition", p.disposition)
		}
		if p.media != "" {
			header.Set("Content-Type", p.media)
		}
		target, err := w.CreatePart(header)
		require.NoError(t, err)
		_, err = target.Write([]byte(p.content))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return c.do(t, method, path, b.Bytes(), "Content-Type", w.FormDataContentType())
}

// attackImages: what is kept is a picture and nothing else, and what is asked for is fetched from nowhere.
func attackImages(t *testing.T, s *server) {
	category := s.category(t)
	with := func(parts ...part) []part {
		return append([]part{field("name", "Picture"), field("category", category), field("quantity", "1")}, parts...)
	}
	picture := pngOf(t, 4, 4)
	// nothingKept sees that no file is left behind either.
	nothingKept := func(t *testing.T, attack func()) {
		t.Helper()
		files := func() []string {
			found, err := filepath.Glob(filepath.Join(s.dir, "images", "*"))
			require.NoError(t, err)
			return found
		}
		before := files()
		s.unchanged(t, attack)
		require.Equal(t, before, files())
	}
	var photo bytes.Buffer
	require.NoError(t, jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 8, 8)), nil))
	gif := "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
	for name, content := range map[string]string{
		"SVG": `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`, "HTML": "<html><script>alert(1)</script>", "script": "alert(1)", "GIF": gif, "GIF that is a script": "GIF89a=1;alert(1)", "BMP": "BM" + strings.Repeat("\x00", 60), "TIFF": "II*\x00\x08\x00\x00\x00" + strings.Repeat("\x00", 40),
		"PDF": "%PDF-1.7\n", "ZIP": "PK\x03\x04" + strings.Repeat("\x00", 60), "PostScript": "%!PS\n(x) run", "MVG": "push graphic-context\nfill 'url(https://evil.example/x)'\n", "XML with an entity": `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><svg>&e;</svg>`, "ELF": "\x7fELF\x02\x01\x01",
		"PHP after a PNG's signature": signature + "<?php system('id'); ?>", "ICO": "\x00\x00\x01\x00\x01\x00", "AVIF": "\x00\x00\x00\x1cftypavif\x00\x00\x00\x00", "HEIC": "\x00\x00\x00\x1cftypheic\x00\x00\x00\x00", "JPEG XL": "\xff\x0a\x00", "one byte": "\x89", "NULs": strings.Repeat("\x00", 100),
		"RIFF that is sound": "RIFF\x24\x00\x00\x00WAVEfmt ", "WebP without a picture": "RIFF\x04\x00\x00\x00WEBP", "WebP that lies of its length": "RIFF\xff\xff\xff\xffWEBPVP8L\xff\xff\xff\xff/", "WebP that claims 16384 squared": "RIFF\x14\x00\x00\x00WEBPVP8L\x08\x00\x00\x00/\xff\xff\xff\xff\x00\x00\x00",
		"PNG signature alone": signature, "PNG cut": string(picture[:len(picture)-20]), "PNG header alone": string(picture[:33]), "PNG with a wrong checksum": strings.Replace(string(picture), "IDAT", "IDAU", 1), "PNG behind a byte": "\n" + string(picture), "PNG behind HTML": "<script>x</script>" + string(picture),
		"JPEG cut": photo.String()[:photo.Len()/2], "JPEG start alone": "\xff\xd8\xff\xe0", "JPEG with HTML behind the start": "\xff\xd8\xff<script>",
		"PNG of 100000 squared": string(claimed(100000, 100000)), "PNG of 2 billion squared": string(claimed(1<<31-1, 1<<31-1)), "PNG of 4 billion squared": string(claimed(1<<32-1, 1<<32-1)), "PNG of no width": string(claimed(0, 10)), "PNG of no height": string(claimed(10, 0)), "PNG of 12001 by 1": string(claimed(12001, 1)),
		"PNG of 41 megapixels": string(claimed(6404, 6404)), "PNG of less data than it claims": string(claimed(5000, 5000)),
	} {
		t.Run("no picture/"+name, func(t *testing.T) {
			nothingKept(t, func() {
				s.admin.form(t, http.MethodPost, "/products", with(file("x.png", []byte(content)))...).refuses(t, http.StatusBadRequest, "image")
				s.admin.post(t, "/products", j{"name": "x", "category": category, "quantity": 1, "image": base64.StdEncoding.EncodeToString([]byte(content))}).refuses(t, http.StatusBadRequest, "image")
				s.admin.post(t, "/products", j{"name": "x", "category": category, "quantity": 1, "image": "data:image/png;base64," + base64.StdEncoding.EncodeToString([]byte(content))}).refuses(t, http.StatusBadRequest, "image")
			})
		})
	}
	t.Run("too large/by one byte", func(t *testing.T) {
		nothingKept(t, func() {
			large := append(bytes.Clone(picture), make([]byte, 5<<20+1-len(picture))...)
			s.admin.form(t, http.MethodPost, "/products", with(file("x.png", large))...).refuses(t, http.StatusBadRequest, "image")
			s.admin.post(t, "/products", j{"name": "x", "category": category, "quantity": 1, "image": base64.StdEncoding.EncodeToString(large)}).refuses(t, http.StatusBadRequest, "image")
		})
	})
	t.Run("too large/far", func(t *testing.T) {
		nothingKept(t, func() {
			for _, parts := range [][]part{with(file("x.png", make([]byte, 6<<20+1))), with(field("x", strings.Repeat("x", 6<<20+1)))} {
				s.admin.form(t, http.MethodPost, "/products", parts...).wants(t, http.StatusRequestEntityTooLarge)
			}
		})
	})
	t.Run("too large/a bomb of zeros", func(t *testing.T) { // 40 megapixels of one colour, and many times over the limit when they are not
		nothingKept(t, func() {
			s.admin.form(t, http.MethodPost, "/products", with(file("x.png", pngOf(t, 12001, 2)))...).refuses(t, http.StatusBadRequest, "image")
		})
	})

	url, calls := canary(t)
	for _, text := range []string{
		url + "/x.png", "file:///etc/passwd", "http://169.254.169.254/latest/meta-data/", "//127.0.0.1/x.png", "gopher://127.0.0.1:6379/_x", "data:text/html,<script>", "data:image/png," + url, "data:image/png;base64", "data:;base64,file:///etc/passwd", "/etc/passwd", "../../../etc/passwd", "\\\\evil\\share", "jar:" + url + "!/", "ftp://x/y",
		"dict://x", "php://input", "%2e%2e", "[object Object]", "undefined", "====", strings.TrimRight(pictureText(t), "="), pictureText(t) + "=", " " + pictureText(t), strings.ReplaceAll(pictureText(t), "+", "-") + "_-", pictureText(t)[:20] + "\u0000" + pictureText(t)[20:], "data:image/png;base64," + url,
	} {
		t.Run(fmt.Sprintf("not fetched/%.40q", text), func(t *testing.T) {
			nothingKept(t, func() {
				s.admin.post(t, "/products", j{"name": "x", "category": category, "quantity": 1, "image": text}).refuses(t, http.StatusBadRequest, "image")
				s.admin.form(t, http.MethodPost, "/products", with(part{disposition: `form-data; name="image"`, content: text})...).refuses(t, http.StatusBadRequest, "image")
			})
		})
	}
	for _, value := range []string{`5`, `true`, `["x"]`, `{"url":"` + url + `"}`} {
		t.Run("not fetched/JSON "+value[:1], func(t *testing.T) {
			nothingKept(t, func() {
				s.admin.post(t, "/products", `{"name":"x","category":"`+category+`","quantity":1,"image":`+value+`}`).refuses(t, http.StatusBadRequest, "image")
			})
		})
	}
	for _, name := range []string{"image_url", "imageUrl", "url", "image[url]", "remote_image_url"} {
		t.Run("not fetched/field "+name, func(t *testing.T) {
			a := s.admin.form(t, http.MethodPost, "/products", with(field(name, url))...).wants(t, http.StatusCreated)
			require.Nil(t, a.json(t)["imageUrl"])
		})
	}
	t.Run("not fetched/nobody called", func(t *testing.T) { require.Zero(t, calls()) })

	many := with()
	for i := range 8 {
		many = append(many, field(fmt.Sprint("x", i), "x"))
	}
	for name, parts := range map[string][]part{
		"eleven parts": many, "two pictures": with(file("a.png", picture), file("b.png", picture)), "two names": with(field("name", "x")), "a field of 16 KiB and one": with(field("name", strings.Repeat("x", 16<<10+1)), file("a.png", picture))[1:],
		"quantity below zero": {field("name", "x"), field("category", category), field("quantity", "-1"), file("a.png", picture)}, "quantity with a fraction": {field("name", "x"), field("category", category), field("quantity", "1.0")}, "quantity a text": {field("name", "x"), field("category", category), field("quantity", `"1"`)},
		"name with NUL": {field("name", "a\x00b"), field("category", category), field("quantity", "1"), file("a.png", picture)}, "name not UTF-8": {field("name", "\xff\xfe"), field("category", category), field("quantity", "1")}, "name with a line end": {field("name", "a\r\nb"), field("category", category), field("quantity", "1")},
		"category unknown": {field("name", "x"), field("category", "none' OR 1=1"), field("quantity", "1"), file("a.png", picture)}, "no parts": {}, "a part without a name": with(part{content: "x"}, part{content: "y"}), "name of another case": {field("Name", "x"), field("category", category), field("quantity", "1")},
	} {
		t.Run("form/"+name, func(t *testing.T) {
			nothingKept(t, func() { s.admin.form(t, http.MethodPost, "/products", parts...).wants(t, http.StatusBadRequest) })
		})
	}
	const boundary = "multipart/form-data; boundary=x"
	for name, c := range map[string]struct {
		media, body string
		status      int
	}{
		"cut": {boundary, "--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nx", http.StatusBadRequest}, "empty": {boundary, "", http.StatusBadRequest}, "the end alone": {boundary, "--x--\r\n", http.StatusBadRequest}, "not a form": {boundary, `{"name":"x"}`, http.StatusBadRequest},
		"no boundary": {"multipart/form-data", "--x--\r\n", http.StatusUnsupportedMediaType}, "an empty boundary": {"multipart/form-data; boundary=", "----\r\n", http.StatusUnsupportedMediaType}, "a boundary of 300": {"multipart/form-data; boundary=" + strings.Repeat("x", 300), "--x--\r\n", http.StatusBadRequest},
		"two boundaries": {"multipart/form-data; boundary=x; boundary=y", "--x--\r\n", http.StatusUnsupportedMediaType}, "mixed": {"multipart/mixed; boundary=x", "--x--\r\n", http.StatusUnsupportedMediaType}, "huge part headers": {boundary, "--x\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\nx\r\n--x--\r\n", http.StatusBadRequest},
		"a hundred thousand part headers": {boundary, "--x\r\n" + strings.Repeat("X: x\r\n", 100000) + "\r\nx\r\n--x--\r\n", http.StatusBadRequest}, "a hundred thousand parts": {boundary, strings.Repeat("--x\r\nX: y\r\n\r\n\r\n", 100000) + "--x--\r\n", http.StatusBadRequest}, "part headers with NUL": {boundary, "--x\r\nContent-Disposition: form-data; name=\"na\x00me\"\r\n\r\nx\r\n--x--\r\n", http.StatusBadRequest},
	} {
		t.Run("form/"+name, func(t *testing.T) {
			nothingKept(t, func() { s.admin.post(t, "/products", c.body, "Content-Type", c.media).wants(t, c.status) })
		})
	}

	kept := func(t *testing.T, a answer) (name string, stored answer) {
		t.Helper()
		name = a.wants(t, http.StatusCreated).text(t, "imageUrl")
		require.Regexp(t, `^[A-Za-z0-9_-]{20,64}\.(png|jpg|webp)$`, name)
		stored = s.anonymous().get(t, "/images/"+name).wants(t, http.StatusOK)
		require.Equal(t, map[string]string{"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}[strings.Split(name, ".")[1]], stored.Header.Get("Content-Type"))
		require.Equal(t, "default-src 'none'; sandbox", stored.Header.Get("Content-Security-Policy"))
		require.Equal(t, "public, max-age=31536000, immutable", stored.Header.Get("Cache-Control"))
		require.Empty(t, stored.Header.Get("Content-Disposition"))
		_, err := os.Stat(filepath.Join(s.dir, "images", name))
		require.NoError(t, err)
		return name, stored
	}
	for _, name := range []string{
		"../../x.png", "..\\..\\x.png", "/etc/passwd", "x.php", "x.png\x00.html", "x.svg", "x.png%00.html", ".htaccess", strings.Repeat("x", 5000) + ".png", "CON", "x.png;.html", `x".png`, "a\r\nX-Evil: 1", "𝒙.png", "", "-rf", "x.png/", "~", "%2e%2e%2fx.png",
	} {
		t.Run(fmt.Sprintf("file name/%.30q", name), func(t *testing.T) {
			quoted := strings.NewReplacer(`"`, "%22", "\r", "%0D", "\n", "%0A", "\x00", "%00", "\\", "\\\\").Replace(name)
			made, _ := kept(t, s.admin.form(t, http.MethodPost, "/products", with(file(quoted, picture))...))
			require.Equal(t, ".png", filepath.Ext(made), "the extension is the bytes'")
		})
	}
	const mark = "<script>alert('polyglot')</script>"
	textChunk := append(bytes.Clone(picture[:33]), chunk("tEXt", []byte("Comment\x00"+mark))...)
	exif := "\xff\xe1\x00" + string(rune(2+6+len(mark))) + "Exif\x00\x00" + mark
	for name, content := range map[string]string{
		"trailing HTML": string(picture) + mark, "trailing ZIP": string(picture) + "PK\x03\x04" + mark, "text chunk": string(append(textChunk, picture[33:]...)), "EXIF of a JPEG": photo.String()[:2] + exif + photo.String()[2:], "trailing bytes of a JPEG": photo.String() + mark,
		"comment of a JPEG": photo.String()[:2] + "\xff\xfe\x00" + string(rune(2+len(mark))) + mark + photo.String()[2:], "profile chunk": string(picture[:33]) + string(chunk("eXIf", []byte("II*\x00"+mark))) + string(picture[33:]),
	} {
		t.Run("cleaned/"+name, func(t *testing.T) {
			_, stored := kept(t, s.admin.form(t, http.MethodPost, "/products", with(file("x.html", []byte(content)))...))
			require.NotContains(t, stored.Body, "script")
			require.NotContains(t, stored.Body, "polyglot")
			require.NotContains(t, stored.Body, "PK\x03\x04")
			_, _, err := image.Decode(strings.NewReader(stored.Body))
			require.NoError(t, err)
		})
	}
	t.Run("cleaned/the type is not believed", func(t *testing.T) {
		for _, media := range []string{"text/html", "image/svg+xml", "application/x-httpd-php", "image/gif"} {
			p := file("x.png", picture)
			p.media = media
			kept(t, s.admin.form(t, http.MethodPost, "/products", with(p)...))
		}
	})
	t.Run("names/are never the same", func(t *testing.T) {
		seen := map[string]bool{}
		for range 10 {
			name, _ := kept(t, s.admin.form(t, http.MethodPost, "/products", with(file("x.png", picture))...))
			require.False(t, seen[name])
			seen[name] = true
		}
	})
	t.Run("names/of a picture that was replaced or removed", func(t *testing.T) {
		a := s.admin.form(t, http.MethodPost, "/products", with(file("x.png", picture))...)
		first, _ := kept(t, a)
		path := "/products/" + a.text(t, "id")
		second := s.admin.form(t, http.MethodPut, path, with(file("x.png", photo.Bytes()))...).wants(t, http.StatusOK).text(t, "imageUrl")
		s.anonymous().get(t, "/images/"+first).refuses(t, http.StatusNotFound, "name")
		s.admin.put(t, path, j{"name": "x", "category": category, "image": ""}).wants(t, http.StatusOK)
		s.anonymous().get(t, "/images/"+second).refuses(t, http.StatusNotFound, "name")
	})

	name, _ := kept(t, s.admin.form(t, http.MethodPost, "/products", with(file("x.png", picture))...))
	for _, path := range []string{
		"..%2f..%2f.env", "..%2flog", "%2e%2e%2flog", "..%5clog", "..%2fmail", ".", "%2e", "%2e%2e", "%2fetc%2fpasswd", "x.png", "x", "%00", name + "%00", name + "%20", name + ".html", name + "%2f", "." + name, strings.ToUpper(name), name[:len(name)-4], name[:len(name)-4] + ".jpg", name[:len(name)-4] + ".svg",
		name[:10], "*", "%25", name + ";x", "%c0%ae%c0%ae%c0%aflog", "~", ".pending", strings.Repeat("x", 3000), "%ff%fe", "..;%2flog", name + "::$DATA", "con", "%2e%2f" + name, name + "?x", name + "%3fx",
	} {
		t.Run("path/"+path[:min(len(path), 40)], func(t *testing.T) {
			if strings.HasSuffix(path, "?x") {
				s.anonymous().get(t, "/images/"+path).wants(t, http.StatusOK)
				return
			}
			s.anonymous().get(t, "/images/"+path).refuses(t, http.StatusNotFound, "name")
		})
	}
	t.Run("served/a caller cannot choose the type", func(t *testing.T) {
		for _, headers := range [][]string{{"Accept", "text/html"}, {"Accept", "image/svg+xml"}, {"Accept-Encoding", "br, gzip"}} {
			a := s.anonymous().get(t, "/images/"+name+"?content-type=text/html&response-content-type=text/html", headers...).wants(t, http.StatusOK)
			require.Equal(t, "image/png", a.Header.Get("Content-Type"))
		}
	})
}

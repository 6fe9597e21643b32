package features

import (
	"io"

	"golang.org/x/text/encoding/charmap"
)

// decode turns a text file's bytes into UTF-8.
func (d *Dialect) decode(r io.Reader) io.Reader {
	switch d.Encoding {
	case "latin1":
		return charmap.ISO8859_1.NewDecoder().Reader(r)
	case "windows-1252":
		return charmap.Windows1252.NewDecoder().Reader(r)
	}
	return r
}

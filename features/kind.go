package features

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// FileKind is what a data file is read as.
type FileKind uint8

// Kinds of data files.
const (
	TextFile    FileKind = iota // delimited or libfm, plain, .gz or .zst
	ParquetFile                 // begins with PAR1
	ArrowFile                   // an IPC file, or a stream by its name
)

// KindOf tells what a file is by its first bytes and, where they say nothing, by its name.
func KindOf(path string) (FileKind, error) {
	f, err := os.Open(path)
	if err != nil {
		return TextFile, openError(path, err)
	}
	defer f.Close()
	head := make([]byte, 6)
	n, err := io.ReadFull(f, head)
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte("PAR1")):
		return ParquetFile, nil
	case bytes.Equal(head, []byte("ARROW1")):
		return ArrowFile, nil
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return TextFile, &DataError{File: path, Reason: "UTF-16 text; convert it to UTF-8"}
	}
	if info, serr := f.Stat(); err != nil && (serr != nil || info.IsDir()) {
		return TextFile, openError(path, err)
	}
	kind := TextFile
	ext := extension(path)
	switch ext {
	case ".parquet":
		kind = ParquetFile
	case ".arrow", ".feather", ".ipc", ".arrows":
		kind = ArrowFile
	}
	if kind != TextFile && filepath.Ext(strings.ToLower(path)) != ext {
		return kind, &DataError{File: path, Reason: "columnar files are compressed within; unpack it first"}
	}
	return kind, nil
}

package training

import (
	"bytes"
	_ "embed" // the pages' style sheet
	"fmt"
	"html/template"
	"os"
)

//go:embed page.css
var pageStyle string

// page parses a page that begins its style with the template "style".
func page(name, text string) *template.Template {
	t := template.Must(template.New(name).Parse(text))
	template.Must(t.New("style").Parse(pageStyle))
	return t
}

// writePage executes a page into a file, written aside and renamed.
func writePage(path string, t *template.Template, data any) error {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return replaceFile(path, b.Bytes())
}

// replaceFile writes a file aside, synced, and renames it into place: a reader, or a run that goes on after a kill, finds the old or the new one whole.
func replaceFile(path string, text []byte) (err error) {
	f, err := os.Create(path + ".part")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(path+".part", path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

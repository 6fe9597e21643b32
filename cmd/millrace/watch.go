package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/millrace/millrace/training"
)

// watcher shows a training: a progress bar on a terminal, plain lines now and then elsewhere.
type watcher struct {
	w     io.Writer
	now   func() time.Time
	bars  *mpb.Progress // nil where standard error is no terminal
	bar   *mpb.Bar
	epoch int
	text  atomic.Pointer[string]
	told  time.Time
}

// tellEvery is how often a plain line is written within an epoch.
const tellEvery = 10 * time.Second

func newWatcher(w io.Writer, now func() time.Time) *watcher {
	x := &watcher{w: w, now: now, told: now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		x.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithRefreshRate(150*time.Millisecond))
	}
	return x
}

// Note gives a line for people.
func (x *watcher) Note(text string) { x.line("%s\n", text) }

func (x *watcher) line(format string, args ...any) {
	if x.bars != nil {
		fmt.Fprintf(x.bars, format, args...)
		return
	}
	fmt.Fprintf(x.w, format, args...)
}

// Fit shows how far the first pass over the data is.
func (x *watcher) Fit(share float64) {
	if x.bars == nil {
		if x.due() {
			x.line("reading the training data: %.0f %%\n", 100*share)
		}
		return
	}
	x.show(0, 1000, int64(1000*share), "reading the training data")
}

// Step shows where the epoch is.
func (x *watcher) Step(p training.Progress) {
	total := p.Total
	left := "?"
	if total > 0 && p.RowsPerSecond > 0 {
		left = (time.Duration(float64(total-p.Rows)/p.RowsPerSecond*1e3) * time.Millisecond).Round(time.Second).String()
	}
	text := fmt.Sprintf("%.0f rows/s, %s left in the epoch, loss %.4f", p.RowsPerSecond, left, p.Loss)
	if !math.IsNaN(p.ValidAUC) {
		text += fmt.Sprintf(", valid AUC %.6f", p.ValidAUC)
	}
	if x.bars != nil {
		x.show(p.Epoch, total, p.Rows, fmt.Sprintf("epoch %d/%d  %s", p.Epoch, p.Epochs, text))
	} else if x.due() {
		x.line("epoch %d: %d rows, %s\n", p.Epoch, p.Rows, text)
	}
}

// Epoch tells how validation went.
func (x *watcher) Epoch(e training.EpochFigures) {
	mark := ""
	if e.Best {
		mark = "  best so far"
	}
	auxiliary := ""
	for _, l := range e.Auxiliary {
		auxiliary += fmt.Sprintf(", %s %.5f", l.Name, l.Loss)
	}
	x.endBar()
	x.line("epoch %d: loss %.5f (L2 %.5f%s), valid %s, learning rate %.3g%s\n", e.Epoch, e.Loss, e.L2, auxiliary, metrics(e.Valid.TaskFigures), e.LearningRate, mark)
	x.told = x.now()
}

func (x *watcher) due() bool {
	if now := x.now(); now.Sub(x.told) >= tellEvery {
		x.told = now
		return true
	}
	return false
}

// show moves the bar of an epoch, making a new one where the epoch is new.
func (x *watcher) show(epoch int, total, done int64, text string) {
	x.text.Store(&text)
	if x.bar == nil || x.epoch != epoch {
		x.endBar()
		x.epoch = epoch
		x.bar = x.bars.AddBar(max(total, done), mpb.BarRemoveOnComplete(), mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			return " " + *x.text.Load()
		})))
	}
	x.bar.SetTotal(max(total, done), false)
	x.bar.SetCurrent(done)
}

func (x *watcher) endBar() {
	if x.bar != nil {
		x.bar.Abort(true)
		x.bar.Wait()
		x.bar = nil
	}
}

// close ends the drawing; it may be called twice.
func (x *watcher) close() {
	if x.bars != nil {
		x.endBar()
		x.bars.Wait()
		x.bars = nil
	}
}

package training

import (
	"bytes"
	_ "embed" // the report's page
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/core/metric"
	"github.com/millrace/millrace/models"
)

//go:embed report.html
var reportPage string

var reportTemplate = page("report", reportPage)

// reportData is what the page shows.
type reportData struct {
	Title, Subtitle string
	Cards           []card
	Tasks           []task
	Epochs          []epochRow
	Monitor         string
	Curves          []figureSVG
	Importance      template.HTML
	ImportanceRows  string
	Facts           [][2]string
	ModelFile       string
	Schema          string
}

type card struct{ Name, Value, Note string }

type task struct {
	Name, AUC, Logloss, GAUC, NE, Rate, Score, ECE, Ratio string
	ROC, Calibration                                      template.HTML
}

type epochRow struct {
	Epoch                               int
	Loss, L2, Rate, AUC, Logloss, Gauge string
	Best                                bool
}

type figureSVG struct {
	Caption string
	SVG     template.HTML
}

// runRecord is run.json: the figures and what they came from.
type runRecord struct {
	Result
	Curve      []EpochFigures `json:"curve"`
	Importance []Importance   `json:"importance"`
	Command    string         `json:"command"`
	Inputs     inputs         `json:"inputs"`
	Threads    int            `json:"threads"`
	Finished   time.Time      `json:"finished"`
	Host       string         `json:"host"`
	Go         string         `json:"go"`
}

// writeReport writes run.json and report.html.
func (r *run) writeReport(result *Result, rows []*metric.Rows, importance []Importance, c *models.Checkpoint) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	record := runRecord{
		Result: *result, Curve: result.curve, Importance: importance, Command: r.Command, Inputs: r.state.Inputs, Threads: r.Threads,
		Finished: r.Now().UTC(), Host: host, Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
	}
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", runFile, err)
	}
	if err := os.WriteFile(filepath.Join(r.Out, runFile), append(text, '\n'), 0o666); err != nil {
		return fmt.Errorf("write %s: %w", runFile, err)
	}
	var page bytes.Buffer
	if err := reportTemplate.Execute(&page, r.reportData(&record, rows, c)); err != nil {
		return fmt.Errorf("write %s: %w", reportFile, err)
	}
	if err := os.WriteFile(filepath.Join(r.Out, reportFile), page.Bytes(), 0o666); err != nil {
		return fmt.Errorf("write %s: %w", reportFile, err)
	}
	return nil
}

func (r *run) reportData(record *runRecord, rows []*metric.Rows, c *models.Checkpoint) *reportData {
	name := r.Schema.Name
	if name == "" {
		name = "data"
	}
	d := &reportData{
		Title:    fmt.Sprintf("%s on %s", r.Spec.Name, name),
		Subtitle: fmt.Sprintf("%s · checkpoint %s", record.Finished.Format("2006-01-02 15:04 UTC"), c.Weights.Version),
		Monitor:  r.Spec.Settings.Monitor, ModelFile: r.Spec.Source, Schema: c.Snapshot.Manifest.Files[models.SchemaFile],
		Cards: []card{
			{"AUC", decimal(record.AUC, 6), record.Split + " rows"},
			{"Logloss", decimal(record.Logloss, 6), record.Split + " rows"},
			{"GAUC", decimal(record.GAUC, 6), "groups with both classes, by rows"},
			{"Normalised entropy", decimal(record.NE, 5), "1: no better than the mean rate"},
			{"Calibration", decimal(record.TaskFigures.Calibration, 4), "mean score over rate; ECE " + decimal(record.ECE, 4)},
			{"Best epoch", fmt.Sprintf("%d of %d", record.BestEpoch, record.Epochs), "by validation " + r.Spec.Settings.Monitor},
			{"Rows a second", thousands(int64(record.RowsPerSecond)), thousands(record.Rows) + " training rows an epoch"},
			{"Parameters", thousands(int64(record.Parameters)), thousands(int64(record.ParametersFuxiCTR)) + " with padding rows"},
		},
	}
	for i, l := range r.Schema.Labels {
		m := rows[i]
		d.Tasks = append(d.Tasks, task{
			Name: l.Name, AUC: decimal(Figure(m.AUC()), 6), Logloss: decimal(Figure(m.Logloss()), 6), GAUC: decimal(Figure(m.GAUC()), 6),
			NE: decimal(Figure(m.NormalizedEntropy()), 5), Rate: decimal(Figure(m.Rate()), 4), Score: decimal(Figure(m.Score()), 4), ECE: decimal(Figure(m.ECE(eceBins)), 4),
			Ratio: decimal(Figure(m.CalibrationRatio()), 4),
			ROC:   rocChart(m.ROC(200)), Calibration: calibrationChart(m.Calibration(eceBins)),
		})
	}
	var epochs, loss, auc, logloss []float64
	for _, e := range record.Curve {
		d.Epochs = append(d.Epochs, epochRow{
			e.Epoch, decimal(e.Loss, 5), decimal(e.L2, 5), strconv.FormatFloat(e.LearningRate, 'g', 4, 64), decimal(e.Valid.AUC, 6), decimal(e.Valid.Logloss, 6),
			decimal(e.Valid.GAUC, 6), e.Epoch == record.BestEpoch,
		})
		epochs = append(epochs, float64(e.Epoch))
		loss = append(loss, float64(e.Loss-e.L2-e.OfModel())/float64(len(rows))) // labels add up in the loss, validation takes their mean
		auc = append(auc, float64(e.Valid.AUC))
		logloss = append(logloss, float64(e.Valid.Logloss))
	}
	best := float64(record.BestEpoch)
	d.Curves = []figureSVG{
		{"Validation AUC", lineChart(epochs, []series{{"validation", auc, "a"}}, best)},
		{lossCaption(r.Spec, len(rows)), lineChart(epochs, []series{{"training", loss, "b"}, {"validation", logloss, "a"}}, best)},
	}
	d.Importance = barChart(record.Importance)
	d.ImportanceRows = thousands(int64(min(sampleRows, rows[0].Len())))
	r.addFacts(d, record)
	return d
}

func lossCaption(spec *models.Spec, labels int) string {
	c := "Logloss, training (without the L2 term) and validation"
	if name := map[string]string{
		models.FocalLoss: "Focal loss", models.PairwiseLoss: "Pairwise loss", models.ListwiseLoss: "Listwise loss", models.InBatchLoss: "Softmax loss over the batch's items",
	}[spec.Settings.Loss]; name != "" {
		c = name + " in training (without the L2 term), logloss in validation"
	}
	if spec.Settings.NegativeSampling.Sampled() {
		c += "; training over the sampled rows"
	}
	if labels > 1 {
		c += ", means over the labels"
	}
	return c
}

func (r *run) addFacts(d *reportData, record *runRecord) {
	add := func(name, value string) {
		if value != "" {
			d.Facts = append(d.Facts, [2]string{name, value})
		}
	}
	add("Command", record.Command)
	for i, f := range record.Inputs.Train {
		if i < 10 {
			add("Training file", f)
		} else if i == 10 {
			add("Training file", fmt.Sprintf("and %d more", len(record.Inputs.Train)-10))
		}
	}
	add("Validation rows", record.Inputs.Valid)
	add("Test rows", record.Inputs.Test)
	if r.split != nil {
		by := "a seeded hash of the row"
		if r.SplitBy != "" {
			by = r.SplitBy
		}
		add("Shares cut by", by)
	}
	if record.Init != nil {
		add("Start", strings.Join(WarmStartLines(record.Init), "; "))
	}
	add("Seed", strconv.FormatUint(record.Seed, 10))
	add("Threads", strconv.Itoa(record.Threads))
	add("Unusable rows skipped", thousands(record.BadRows))
	add("Seconds in all", strconv.FormatFloat(record.Seconds, 'f', 1, 64))
	add("Host", record.Host)
	add("Built with", record.Go)
	for _, n := range r.Spec.Notices {
		add("Note", n)
	}
}

func decimal(f Figure, digits int) string {
	if math.IsNaN(float64(f)) {
		return "–"
	}
	return strconv.FormatFloat(float64(f), 'f', digits, 64)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

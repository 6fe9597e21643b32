// Package training trains, evaluates and predicts: the batch trainer over files, the incremental trainer under the daemon, schedules and reports.
//
// A run's folder holds checkpoint/ (the best weights by validation, what eval, predict and serve read), state/ (where --resume goes on),
// run.json (the figures) and report.html. The same data, model file, seed and thread count give the same bytes under checkpoint/, whether the
// run was interrupted or not; clocks, hosts and paths stay out of it.
package training

// Package training trains, evaluates and predicts: the batch trainer over files, the incremental trainer under the daemon, schedules and reports.
package training

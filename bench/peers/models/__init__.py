"""The models once more, in plain PyTorch after their papers: what the Go code is compared with, in values (golden.py) and in time (frappe_epoch.py)."""

module pod-tracker.lost.backend/tools/images

go 1.26.0

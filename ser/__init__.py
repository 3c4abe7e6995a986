"""Speech emotion recognition that can be believed."""

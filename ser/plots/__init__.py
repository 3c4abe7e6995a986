"""Drawing primitives that reports and the analysis of latents share."""

"""The page, and pages of other origins, in a real Chromium without a window."""

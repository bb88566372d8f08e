"""What the proxy tells about itself: log events and metrics. Handed to the rest by the composition root."""

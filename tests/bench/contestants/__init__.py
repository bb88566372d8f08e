"""Who is measured: the proxy, the plain pass-through that is always there, and peers where they are installed."""

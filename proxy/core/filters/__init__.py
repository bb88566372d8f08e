"""Answer -> Answer, for upstreams that give nothing but text."""

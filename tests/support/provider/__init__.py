"""A stand-in for an OpenAI-compatible provider (Groq, Fireworks, a company's endpoint) that speaks over real sockets.

`python -m tests.support.provider` runs it, `process.Provider` does so for tests. `script.Answer` has what an
answer can be told to do, `server` the routes. What StackSpot's stand-in can do as well is taken from there.
"""

"""Run records: for each run of the proxy a folder that says what it was made with and what it did."""

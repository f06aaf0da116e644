"""What leaves the project to run elsewhere: a merged model, or a GGUF with what goes with it."""

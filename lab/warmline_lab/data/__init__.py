"""Corpus, licences, samples, tokenizer, releases."""

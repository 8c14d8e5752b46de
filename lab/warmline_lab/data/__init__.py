"""Corpus, licences, samples, tokenizer."""

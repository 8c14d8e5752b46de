"""Texts that the corpus's filters keep."""

from __future__ import annotations

MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software ..."


WRITTEN = """\
import { readFile } from 'node:fs/promises';

/** Reads a table of names, one to a line. */
export async function readNames(path) {
  const names = new Map();
  const text = await readFile(path, 'utf8');
  for (const [index, line] of text.split('\\n').entries()) {
    const name = line.trim();
    if (name && !names.has(name)) {
      names.set(name, index);
    }
  }
  return names;
}
"""
TYPED = """\
export interface Options {
  readonly limit: number;
  readonly onError?: (error: Error) => void;
}

export class Queue<T> {
  private readonly waiting: T[] = [];

  constructor(private readonly options: Options) {}

  push(item: T): boolean {
    if (this.waiting.length >= this.options.limit) {
      this.options.onError?.(new Error('the queue is full'));
      return false;
    }
    this.waiting.push(item);
    return true;
  }
}
"""

/** Passes on the newest of what comes, at most once in `everyMs`. */
export class Newest<Value> {
  private newest: { value: Value } | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly everyMs: number,
    private readonly pass: (value: Value) => void,
  ) {}

  note(value: Value): void {
    this.newest = { value };
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      if (this.newest) this.pass(this.newest.value);
    }, this.everyMs);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}

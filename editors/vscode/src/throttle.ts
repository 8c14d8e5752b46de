/** Passes on the latest value, at most once per interval. */
export class Throttle<Value> {
  private latest: { value: Value } | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly intervalMs: number,
    private readonly emit: (value: Value) => void,
  ) {}

  push(value: Value): void {
    this.latest = { value };
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      if (this.latest) this.emit(this.latest.value);
    }, this.intervalMs);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}

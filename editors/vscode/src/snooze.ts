const SNOOZE_MS = 5 * 60_000;

/** Turns automatic completions off for a while in this window, without changing a setting. */
export class Snooze {
  private timer: NodeJS.Timeout | undefined;

  /** `onChange` gets the end time, and undefined when the snooze ends. */
  constructor(private readonly onChange: (until: Date | undefined) => void) {}

  get isOn(): boolean {
    return this.timer !== undefined;
  }

  start(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.end();
    }, SNOOZE_MS);
    this.onChange(new Date(Date.now() + SNOOZE_MS));
  }

  end(): void {
    this.dispose();
    this.onChange(undefined);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}

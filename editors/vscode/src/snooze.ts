const SNOOZE_MS = 5 * 60_000;

/** No completions for a while, in this window; no setting is changed. */
export class Snooze {
  private timer: NodeJS.Timeout | undefined;

  /** `tell` hears until when, and undefined at the end. */
  constructor(private readonly tell: (until: Date | undefined) => void) {}

  get isOn(): boolean {
    return this.timer !== undefined;
  }

  start(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.end();
    }, SNOOZE_MS);
    this.tell(new Date(Date.now() + SNOOZE_MS));
  }

  end(): void {
    this.dispose();
    this.tell(undefined);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}

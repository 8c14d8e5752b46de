/** The part of the Python extension's API that is used. */
export interface PythonApi {
  environments?: {
    getActiveEnvironmentPath(resource?: unknown): { path: string };
    onDidChangeActiveEnvironmentPath: (listener: () => void) => Disposable;
  };
}

/** The part of VS Code's `Extension` that is used. */
export interface Extension<Api> {
  readonly isActive: boolean;
  readonly exports: Api;
  activate(): PromiseLike<Api>;
}

export interface Disposable {
  dispose(): unknown;
}

/**
 * An extension's API; undefined if it is missing, inactive and not wanted, or fails.
 *
 * `timeoutMs` limits the wait for its activation.
 */
export async function apiOf<Api>(
  extension: Extension<Api> | undefined,
  isWanted: boolean,
  timeoutMs: number | undefined,
  fail: (error: unknown) => void,
): Promise<Api | undefined> {
  if (!extension) return undefined;
  if (extension.isActive) return extension.exports;
  if (!isWanted) return undefined;
  let timer: NodeJS.Timeout | undefined;
  const waits: PromiseLike<Api | undefined>[] = [];
  if (timeoutMs !== undefined) {
    const timeout = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => {
        resolve(undefined);
      }, timeoutMs);
    });
    waits.push(timeout);
  }
  try {
    return await Promise.race([extension.activate(), ...waits]);
  } catch (error) {
    fail(error);
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** Attaches one listener to an event that may become available later; never after it is disposed. */
export class LateListener implements Disposable {
  private isDisposed = false;
  private listening: Disposable | undefined;

  /** Attaches the listener unless it is attached; true if it was attached now. */
  attach(listen: (() => Disposable) | undefined): boolean {
    if (this.isDisposed || this.listening || !listen) return false;
    this.listening = listen();
    return true;
  }

  dispose(): void {
    this.isDisposed = true;
    this.listening?.dispose();
  }
}

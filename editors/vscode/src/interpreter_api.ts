/** What the Python extension offers, as far as it is used. */
export interface PythonApi {
  environments?: {
    getActiveEnvironmentPath(resource?: unknown): { path: string };
    onDidChangeActiveEnvironmentPath: (listener: () => void) => Disposable;
  };
}

/** An extension as VS Code tells of it. */
export interface Extension<Api> {
  readonly isActive: boolean;
  readonly exports: Api;
  activate(): PromiseLike<Api>;
}

export interface Disposable {
  dispose(): unknown;
}

/**
 * What an extension offers; undefined where it is not there, or not started and not to be started, or fails.
 *
 * Where `withinMs` is given, it is not waited for longer.
 */
export async function apiOf<Api>(
  extension: Extension<Api> | undefined,
  isWanted: boolean,
  withinMs: number | undefined,
  fail: (error: unknown) => void,
): Promise<Api | undefined> {
  if (!extension) return undefined;
  if (extension.isActive) return extension.exports;
  if (!isWanted) return undefined;
  let timer: NodeJS.Timeout | undefined;
  const waits: PromiseLike<Api | undefined>[] = [];
  if (withinMs !== undefined) {
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => {
        resolve(undefined);
      }, withinMs);
    });
    waits.push(late);
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

/** Listens, once, to what may be there only later; disposed before, it never does. */
export class LateListener implements Disposable {
  private isDisposed = false;
  private listening: Disposable | undefined;

  /** Listens by `listen`, where it does not yet; whether it has just begun to. */
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

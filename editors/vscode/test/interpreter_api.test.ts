import assert from "node:assert/strict";
import { test } from "node:test";
import { apiOf, LateListener, type Extension } from "../src/interpreter_api";

function extension(activate: () => Promise<string>, isActive = false): Extension<string> {
  return { isActive, exports: "exports", activate };
}

const api = (
  one: Extension<string> | undefined,
  isWanted: boolean,
  failures: unknown[] = [],
): Promise<string | undefined> => apiOf(one, isWanted, 20, (error) => failures.push(error));

test("an extension is activated only if wanted", async () => {
  let nStarted = 0;
  const one = extension(() => {
    nStarted++;
    return Promise.resolve("activated");
  });
  assert.equal(await api(undefined, true), undefined);
  assert.equal(await api(one, false), undefined);
  assert.equal(nStarted, 0);
  assert.equal(await api(one, true), "activated");
  assert.equal(
    await api(
      extension(() => assert.fail("unexpected activation"), true),
      false,
    ),
    "exports",
  );
});

test("an extension that fails or hangs gives undefined", async () => {
  const failures: unknown[] = [];
  const broken = new Error("broken");
  assert.equal(
    await api(
      extension(() => Promise.reject(broken)),
      true,
      failures,
    ),
    undefined,
  );
  assert.deepEqual(failures, [broken]);
  assert.equal(
    await api(
      extension(() => new Promise(() => undefined)),
      true,
    ),
    undefined,
  );
});

test("a listener is attached once, and never after it is disposed", () => {
  let n = 0;
  const listen = (): { dispose(): void } => {
    n++;
    return { dispose: () => n-- };
  };
  const listener = new LateListener();
  assert.ok(!listener.attach(undefined));
  assert.ok(listener.attach(listen));
  assert.ok(!listener.attach(listen));
  assert.equal(n, 1);
  listener.dispose();
  assert.equal(n, 0);
  assert.ok(!listener.attach(listen));
  assert.equal(n, 0);
});

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { rootCertificates } from "node:tls";
import { certificatesFor, programEnvironment, type Network } from "../src/program_environment";

const NONE: Network = { proxy: "", noProxy: [], certificates: undefined };
const PROXY = { ...NONE, proxy: "http://proxy.test:3128", noProxy: ["a.test", "b.test"] };

const folder = mkdtempSync(path.join(tmpdir(), "warmline-certificates-"));
const extra = path.join(folder, "extra.pem");
writeFileSync(extra, "EXTRA");
after(() => {
  rmSync(folder, { recursive: true });
});

test("programs get VS Code's proxy, and the user's NO_PROXY stays", () => {
  const before = { PATH: "/bin", https_proxy: "http://old.test" };
  const env = programEnvironment(before, PROXY);
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]) {
    assert.equal(env[name], "http://proxy.test:3128");
  }
  assert.equal(env["NO_PROXY"], "a.test,b.test");
  assert.equal(programEnvironment({ no_proxy: "mine.test" }, PROXY)["NO_PROXY"], "mine.test");
  assert.deepEqual(programEnvironment(before, NONE), before);
});

test("the file has Node.js's own and its extra certificates", async () => {
  const file = await certificatesFor({ NODE_EXTRA_CA_CERTS: extra }, folder);
  assert.ok(file);
  const all = readFileSync(file, "utf8");
  assert.ok(all.endsWith("EXTRA"));
  assert.ok(all.includes(rootCertificates[0] ?? "none"));
  const env = programEnvironment({ PIP_CERT: "/mine" }, { ...NONE, certificates: file });
  assert.equal(env["REQUESTS_CA_BUNDLE"], file);
  assert.equal(env["SSL_CERT_FILE"], file);
  assert.equal(env["PIP_CERT"], "/mine");
});

test("the user's certificate file for Python programs has precedence", async () => {
  const both = { NODE_EXTRA_CA_CERTS: extra, SSL_CERT_FILE: extra };
  assert.equal(await certificatesFor(both, folder), undefined);
  const env = programEnvironment({ SSL_CERT_FILE: extra }, NONE);
  assert.equal(env["REQUESTS_CA_BUNDLE"], extra);
  assert.equal(env["PIP_CERT"], extra);
});

test("a missing certificate file is ignored", async () => {
  assert.equal(await certificatesFor({ NODE_EXTRA_CA_CERTS: "/nowhere" }, folder), undefined);
  assert.equal(await certificatesFor({}, folder), undefined);
  const env = programEnvironment({ SSL_CERT_FILE: "/nowhere" }, NONE);
  assert.equal(env["PIP_CERT"], undefined);
});

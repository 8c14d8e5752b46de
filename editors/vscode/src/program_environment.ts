import { statSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { rootCertificates } from "node:tls";

/** VS Code's network settings. */
export interface Network {
  /** `http.proxy`; empty: no proxy. */
  proxy: string;
  /** `http.noProxy` */
  noProxy: readonly string[];
  /** A file with all certificates to trust; undefined: each program's default. */
  certificates: string | undefined;
}

const BUNDLES = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"];

/** The user's environment variables with VS Code's proxy and certificates, for child processes. */
export function programEnvironment(env: NodeJS.ProcessEnv, network: Network): NodeJS.ProcessEnv {
  const result = { ...env };
  if (network.proxy !== "") {
    for (const name of ["HTTP_PROXY", "HTTPS_PROXY"]) {
      result[name] = result[name.toLowerCase()] = network.proxy;
    }
    const existing = env["NO_PROXY"] ?? env["no_proxy"];
    const noProxy = existing ?? network.noProxy.join(",");
    if (noProxy !== "") result["NO_PROXY"] = result["no_proxy"] = noProxy;
  }
  const bundle = bundleIn(env) ?? network.certificates;
  if (bundle !== undefined) {
    const unset = BUNDLES.filter((name) => (result[name] ?? "") === "");
    for (const name of unset) result[name] = bundle;
  }
  return result;
}

/**
 * A file with Node.js's certificates and those of NODE_EXTRA_CA_CERTS; undefined if that variable names no file.
 *
 * Python programs replace their own certificates by such a file; Node.js adds to them.
 */
export async function certificatesFor(
  env: NodeJS.ProcessEnv,
  folder: string,
): Promise<string | undefined> {
  const extra = env["NODE_EXTRA_CA_CERTS"] ?? "";
  if (extra === "" || bundleIn(env) !== undefined) return undefined;
  try {
    const all = [...rootCertificates, await readFile(extra, "utf8")].join("\n");
    const file = path.join(folder, "certificates.pem");
    await mkdir(folder, { recursive: true });
    await writeFile(`${file}.${process.pid}`, all);
    await rename(`${file}.${process.pid}`, file);
    return file;
  } catch {
    // like Node.js, which ignores an unreadable file
    return undefined;
  }
}

/** The user's certificate file for Python programs, if it exists. */
function bundleIn(env: NodeJS.ProcessEnv): string | undefined {
  return ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]
    .map((name) => env[name] ?? "")
    .find((file) => file !== "" && statSync(file, { throwIfNoEntry: false })?.isFile());
}

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";

interface Walkthrough {
  steps: { media: { markdown?: string; image?: string } }[];
}

test("the installed extension has the media of its walkthrough", () => {
  const { contributes } = JSON.parse(readFileSync("package.json", "utf8")) as {
    contributes: { walkthroughs: Walkthrough[] };
  };
  const packaged = readFileSync(".vscodeignore", "utf8").split("\n");
  const media = contributes.walkthroughs.flatMap(({ steps }) => steps.map((step) => step.media));
  assert.ok(media.length > 0);
  for (const { markdown, image } of media) {
    const file = markdown ?? image ?? "";
    assert.ok(existsSync(file), file);
    assert.ok(
      [file, file.replace(/\/.*/, "/**")].some((one) => packaged.includes(`!${one}`)),
      file,
    );
    // vsce packs these files in small letters
    assert.doesNotMatch(file, /^(readme|changelog|licen[cs]e)\b/i);
  }
});

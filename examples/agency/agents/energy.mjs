#!/usr/bin/env node
// The same contract in JavaScript: how loud each second of the recording is. See segment.py for the contract.
import { readFileSync, readSync, writeSync } from "node:fs";

const read = []; // standard input stays open while the session runs: read one line, not to the end
for (let part; !read.some((bytes) => bytes.includes(10)); read.push(part)) {
  const buffer = Buffer.alloc(65536);
  part = buffer.subarray(0, readSync(0, buffer));
  if (part.length === 0) break;
}
const session = JSON.parse(Buffer.concat(read).toString("utf8").split("\n")[0]);
const emit = (event) => writeSync(3, JSON.stringify(event) + "\n");
const fail = (text) => {
  console.error(text); // the last line on standard error goes with the failed session
  process.exit(1);
};
if (!session.input) fail("no recording on descriptor 4: dispatch with --input call.wav");
const wav = readFileSync(4);

let at = 12; // after "RIFF", size, "WAVE": chunks, each with its name and length
while (at + 8 <= wav.length && wav.toString("latin1", at, at + 4) !== "data") at += 8 + wav.readUInt32LE(at + 4);
const data = wav.subarray(at + 8, at + 8 + (at + 8 <= wav.length ? wav.readUInt32LE(at + 4) : 0));
if (data.length < 2) fail("no samples on descriptor 4: dispatch with --input call.wav");

console.log(`session ${session.session_id}: ${data.length >> 1} samples`);
for (let second = 0; second * 32000 < data.length; second++) {
  const part = data.subarray(second * 32000, (second + 1) * 32000);
  let sum = 0;
  for (let i = 0; i + 1 < part.length; i += 2) sum += part.readInt16LE(i) ** 2;
  const db = 10 * Math.log10(sum / Math.max(part.length >> 1, 1) / 32768 ** 2 + 1e-10);
  emit({ type: "custom", name: "energy", data: { second, db: Math.round(db * 10) / 10 } });
}
emit({ type: "usage", stt_ms: Math.floor(data.length / 32) });

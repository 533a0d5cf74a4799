#!/usr/bin/env node
// A voice agent with LiveKit's own SDK for Node: joins the room of its call and plays a tone until the call ends.
// The contract is docs/command-agent.md: the session is one line on standard input, events go to descriptor 3, exit 0.
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import {
  AudioFrame,
  AudioSource,
  LocalAudioTrack,
  Room,
  RoomEvent,
  TrackPublishOptions,
  TrackSource,
  dispose,
} from "@livekit/rtc-node";

const RATE_HZ = 48_000;
const FRAME = RATE_HZ / 100; // 10 ms
const PITCH_HZ = 440;

const emit = (event) => writeSync(3, JSON.stringify(event) + "\n");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const session = JSON.parse((await lines.next()).value);
if (!session.livekit) {
  console.error("this agent takes calls of a LiveKit server only"); // goes with the failed session
  process.exit(1);
}

// The token is for this room alone. It is in this process and nowhere else: neither in an argument nor in a log line.
const { url, token, room: name, identity } = session.livekit;
const room = new Room();
const over = new Promise((resolve) => {
  room.on(RoomEvent.Disconnected, () => resolve("the room was closed"));
  room.on(RoomEvent.ParticipantDisconnected, () => room.remoteParticipants.size === 0 && resolve("the caller left"));
  lines.next().then(() => resolve("asked to end")); // the end line, or the end of standard input
});
await room.connect(url, token, { autoSubscribe: true, dynacast: false });
console.log(`${identity} is in room ${name}`);

const source = new AudioSource(RATE_HZ, 1);
const track = LocalAudioTrack.createAudioTrack("voice", source);
const options = new TrackPublishOptions();
options.source = TrackSource.SOURCE_MICROPHONE;
await room.localParticipant.publishTrack(track, options);
emit({ type: "state", state: "speaking" });

let playing = true;
let frames = 0;
const play = async () => {
  for (let place = 0; playing; place += FRAME, frames++) {
    const samples = Int16Array.from({ length: FRAME }, (_, i) => 8000 * Math.sin((2 * Math.PI * PITCH_HZ * (place + i)) / RATE_HZ));
    await source.captureFrame(new AudioFrame(samples, RATE_HZ, 1, FRAME)); // waits for its turn
  }
};
const played = play();
console.log(await over);
playing = false;
await played;
emit({ type: "custom", name: "played", data: { ms: frames * 10 } });
await room.disconnect();
await dispose();
process.exit(0);

// Runs models by ONNX Runtime and compares with what Tamer answered:
//
//   node onnx_run.js NODE_MODULES FOLDER…
//
// A folder holds model.onnx, feed0, … and expected0, …. For each a line: the
// largest difference (relative, where above 1) or why it didn't run.

'use strict';
const fs = require('fs');
const path = require('path');

const ort = require(path.join(process.argv[2], 'onnxruntime-node'));

function readTensor(file) {
  const bytes = fs.readFileSync(file);
  const end = bytes.indexOf(10);
  const [type, ...dims] = bytes.subarray(0, end).toString().split(' ');
  const data = bytes.subarray(end + 1);
  const copy = data.buffer.slice(data.byteOffset, data.byteOffset + data.length);
  const shape = dims.map(Number);
  return type === 'INT32' ?
      {type: 'int32', data: new Int32Array(copy), shape} :
      {type: 'float32', data: new Float32Array(copy), shape};
}

function difference(expected, seen, name) {
  if (String(expected.shape) !== String(seen.dims)) {
    throw new Error(`${name} is [${seen.dims}], not [${expected.shape}]`);
  }
  if (expected.type !== seen.type) {
    throw new Error(`${name} is ${seen.type}, not ${expected.type}`);
  }
  let worst = 0;
  for (let i = 0; i < expected.data.length; ++i) {
    const e = expected.data[i];
    const s = seen.data[i];
    if (e === s) continue;
    const distance = Math.abs(e - s) / Math.max(1, Math.abs(e));
    if (!(distance <= worst)) worst = distance;
    if (Number.isNaN(distance)) return NaN;
  }
  return worst;
}

async function run(folder) {
  const session = await ort.InferenceSession.create(
      path.join(folder, 'model.onnx'), {logSeverityLevel: 3});
  const feeds = {};
  session.inputNames.forEach((name, i) => {
    const feed = readTensor(path.join(folder, `feed${i}`));
    feeds[name] = new ort.Tensor(feed.type, feed.data, feed.shape);
  });
  const results = await session.run(feeds);
  let worst = 0;
  session.outputNames.forEach((name, i) => {
    const expected = readTensor(path.join(folder, `expected${i}`));
    const distance = difference(expected, results[name], name);
    if (!(distance <= worst)) worst = distance;
  });
  return worst;
}

(async () => {
  for (const folder of process.argv.slice(3)) {
    let line;
    try {
      line = String(await run(folder));
    } catch (error) {
      line = String(error.message || error).replace(/\s+/g, ' ');
    }
    console.log(line);
  }
})();

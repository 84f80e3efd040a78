// Writes each *.br of a directory without that ending, as the package itself does at first use.
const fs = require("fs");
const zlib = require("zlib");

const directory = process.argv[2];
for (const name of fs.readdirSync(directory).filter((name) => name.endsWith(".br"))) {
  const packed = fs.readFileSync(`${directory}/${name}`);
  fs.writeFileSync(`${directory}/${name.slice(0, -3)}`, zlib.brotliDecompressSync(packed));
}

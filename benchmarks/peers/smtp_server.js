// nodemailer's smtp-server under measurement: keeps the count and the last message; speaks on stdin and stdout as server.tcl does.
const fs = require("fs");
const readline = require("readline");
const { SMTPServer } = require("smtp-server");

const kept = { delivered: 0, recipients: 0, data: Buffer.alloc(0) };
const folder = process.env.BENCHMARK_TLS;
const tls = folder ? { key: fs.readFileSync(`${folder}/key.pem`), cert: fs.readFileSync(`${folder}/cert.pem`) } : {};

const server = new SMTPServer({
    ...tls,
    authOptional: true,
    disableReverseLookup: true,
    disabledCommands: folder ? ["AUTH"] : ["AUTH", "STARTTLS"],
    onData(stream, session, done) {
        const chunks = [];
        stream.on("data", (chunk) => chunks.push(chunk));
        stream.on("end", () => {
            kept.delivered += 1;
            kept.recipients = session.envelope.rcptTo.length;
            kept.data = Buffer.concat(chunks);
            done();
        });
    },
});
server.on("error", () => {}); // a client that left

server.listen(0, "127.0.0.1", () => {
    console.log(`${server.server.address().port} smtp-server`);
    readline
        .createInterface({ input: process.stdin })
        .on("line", () => {
            const lines = kept.data.toString("latin1").replace(/\r\n$/, "").split("\r\n");
            console.log(`${kept.delivered} ${lines.length} ${kept.recipients} ${lines[lines.length - 1]}`);
        })
        .on("close", () => process.exit(0));
});

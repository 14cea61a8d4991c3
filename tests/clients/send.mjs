// Sends two mails with nodemailer: node send.mjs HOST PORT SECURITY CAFILE USER PASSWORD, where SECURITY is none, starttls or implicit.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const nodemailer = createRequire(process.env.NODEMAILER_FOLDER + "/")("nodemailer");
const [host, port, security, cafile, user, password] = process.argv.slice(2);
const transport = nodemailer.createTransport({
  host, port: Number(port), pool: true, maxConnections: 1,
  secure: security === "implicit", requireTLS: security === "starttls", ignoreTLS: security === "none",
  tls: { ca: readFileSync(cafile), servername: "localhost" },
  auth: user ? { user, pass: password } : undefined,
});
for (const number of [1, 2]) {
  const info = await transport.sendMail({
    from: "Änne <a@example.org>", to: ["b@example.org", "c@example.org"], subject: `Grüße ${number}`,
    text: "Hällo\n.\n..two dots\n", html: "<p>Hällo</p>",
    attachments: [{ filename: "täst.bin", content: Buffer.from([0, 1, 2, 255]) }],
    dsn: { id: "x1", return: "headers", notify: ["failure", "delay"], recipient: "a@example.org" },
  });
  console.log(info.response);
}
transport.close();

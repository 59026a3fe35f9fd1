// One of the two TypeScript SDKs, through the gateway: lists, calls, gets, reads.
// Arguments: package, era (auto or legacy), task as JSON. Prints a report.
const [pkg, era, task] = [process.argv[2], process.argv[3], JSON.parse(process.argv[4])];

let client, transport;
const info = { name: 'interop', version: '1.0.0' };
if (pkg === '@modelcontextprotocol/client') {
  const sdk = await import('@modelcontextprotocol/client');
  client = new sdk.Client(info, era === 'auto' ? { versionNegotiation: { mode: 'auto' } } : {});
  transport = new sdk.StreamableHTTPClientTransport(new URL(task.url));
} else {
  const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
  const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
  client = new Client(info);
  transport = new StreamableHTTPClientTransport(new URL(task.url));
}
await client.connect(transport);
const report = {
  protocol: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion,
  tools: (await client.listTools()).tools.map((t) => t.name),
  prompts: (await client.listPrompts()).prompts.map((p) => p.name),
  resources: (await client.listResources()).resources.map((r) => r.uri),
  templates: (await client.listResourceTemplates()).resourceTemplates.map((t) => t.uriTemplate),
  calls: [],
};
for (const call of task.calls) report.calls.push((await client.callTool(call)).content[0].text);
report.prompt = (await client.getPrompt(task.prompt)).messages[0].content.text;
report.resource = (await client.readResource({ uri: task.uri })).contents[0].text;
await client.close();
console.log(JSON.stringify(report));

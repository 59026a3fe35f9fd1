"""The Python SDK 2.x through the gateway: lists, calls, gets, reads.

Arguments: mode (auto or legacy), task as JSON. Prints a report.
"""

import asyncio
import json
import sys

from mcp import Client


async def main(mode, task):
    async with Client(task["url"], mode=mode) as client:
        report = {
            "protocol": client.protocol_version,
            "tools": [t.name for t in (await client.list_tools()).tools],
            "prompts": [p.name for p in (await client.list_prompts()).prompts],
            "resources": [str(r.uri) for r in (await client.list_resources()).resources],
            "templates": [t.uri_template for t in (await client.list_resource_templates()).resource_templates],
            "calls": [],
        }
        for call in task["calls"]:
            result = await client.call_tool(call["name"], call["arguments"])
            report["calls"].append(result.content[0].text)
        prompt = await client.get_prompt(task["prompt"]["name"], task["prompt"]["arguments"])
        report["prompt"] = prompt.messages[0].content.text
        report["resource"] = (await client.read_resource(task["uri"])).contents[0].text
    print(json.dumps(report))


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))

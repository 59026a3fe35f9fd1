"""The Python SDK 1.x through the gateway: lists, calls, gets, reads.

Arguments: mode (not used), task as JSON. Prints a report.
"""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from pydantic import AnyUrl


async def main(task):
    async with streamable_http_client(task["url"]) as (read, write, _), ClientSession(read, write) as client:
        hello = await client.initialize()
        report = {
            "protocol": hello.protocolVersion,
            "tools": [t.name for t in (await client.list_tools()).tools],
            "prompts": [p.name for p in (await client.list_prompts()).prompts],
            "resources": [str(r.uri) for r in (await client.list_resources()).resources],
            "templates": [t.uriTemplate for t in (await client.list_resource_templates()).resourceTemplates],
            "calls": [],
        }
        for call in task["calls"]:
            result = await client.call_tool(call["name"], call["arguments"])
            report["calls"].append(result.content[0].text)
        prompt = await client.get_prompt(task["prompt"]["name"], task["prompt"]["arguments"])
        report["prompt"] = prompt.messages[0].content.text
        report["resource"] = (await client.read_resource(AnyUrl(task["uri"]))).contents[0].text
    print(json.dumps(report))


asyncio.run(main(json.loads(sys.argv[2])))

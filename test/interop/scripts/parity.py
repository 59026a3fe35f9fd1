"""Runs ContextForge's native plugins on inputs of ours, as its plugin server runs them.

Arguments: the framework's module and the folder that holds the package "plugins".
Standard input: a JSON list of {"name", "file", "calls": [{"hook", "payload", "context",
"continues", "object"}]}, one for each plugin file with one entry. Standard output: a
list of {"refused"} or {"answers": [...]}, each answer what its plugin server would send.
"""

import asyncio
import copy
import importlib
import json
import logging
import sys

framework, folder = sys.argv[1], sys.argv[2]
sys.path.insert(0, folder)
answers_to, sys.stdout = sys.stdout, sys.stderr  # what plugins print is no answer

import pydantic_core  # noqa: E402

server_module = importlib.import_module(framework + ".external.mcp.server.server")
manager_module = importlib.import_module(framework + ".manager")
api = importlib.import_module(framework)


def resource(payload):
    """Gives the payload as ContextForge's gateway gives it to plugins of its own process."""
    models = importlib.import_module("mcpgateway.common.models")
    content = {"type": "resource", "id": "1", **payload["content"]}
    if "mimeType" in content:
        content["mime_type"] = content.pop("mimeType")
    return api.ResourcePostFetchPayload(uri=payload["uri"], content=models.ResourceContent(**content))


async def ask(server, entry, call, context):
    if not call.get("object"):
        return await server.invoke_hook(call["hook"], entry["name"], call["payload"], context)
    answer = {}
    try:
        given = api.PluginContext.model_validate(context)
        manager = server._plugin_manager  # what the server's own invoke_hook goes to
        result = await manager.invoke_hook_for_plugin(entry["name"], call["hook"], resource(call["payload"]), given)
        answer["result"] = result.model_dump()
        if not given.is_empty():
            answer["context"] = given.model_dump()
    except Exception as err:
        answer["error"] = {"message": str(err)}
    return answer


async def run(entry):
    manager_module.PluginManager.reset()
    try:
        server = server_module.ExternalPluginServer(entry["file"])
        await server.initialize()
    except Exception as err:
        return {"refused": str(err)}
    answers, context = [], None
    for call in entry["calls"]:
        if not call.get("continues") or context is None:
            context = call["context"]
        answer = await ask(server, entry, call, copy.deepcopy(context))  # plugins write into what they get
        try:
            answer = json.loads(pydantic_core.to_json(answer, inf_nan_mode="constants"))
        except ValueError as err:  # no JSON: its server would fail, too
            answer = {"error": {"message": str(err)}}
        if answer.get("context"):
            context = answer["context"]
        answers.append(answer)
    await server.shutdown()
    return {"answers": answers}


async def main():
    return [await run(entry) for entry in json.load(sys.stdin)]


logging.disable(logging.CRITICAL)
json.dump(asyncio.run(main()), answers_to)

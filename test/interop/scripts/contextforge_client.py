"""ContextForge's plugin manager with external plugins: calls hooks, prints what came back.

Argument: task as JSON, {"module", "config", "steps": [{"id", "hook", "payload", "table", "plugin"}]}.
"module" is the framework's; "table" names the context table that a step shares
with others; "plugin" is called by itself, not in the chain. Prints {"plugins", "hooks", "steps"}, or {"failure"} when the
manager does not start.
"""

import asyncio
import importlib
import json
import logging
import sys


def models(payload_type, payload):
    """Gives a payload the gateway's own models where the framework has none."""
    try:
        common = importlib.import_module("mcpgateway.common.models")
    except ImportError:
        return payload_type.model_validate(payload)
    payload = dict(payload)
    if "messages" in payload:
        payload["messages"] = [common.Message.model_validate(m) for m in payload["messages"]]
    if isinstance(payload.get("result"), dict) and "messages" in payload["result"]:
        payload["result"] = common.PromptResult.model_validate(payload["result"])
    return payload_type.model_validate(payload)


def plain(model):
    return json.loads(model.model_dump_json(by_alias=True))


async def step(manager, framework, registry, todo, tables):
    payload = models(registry.get_payload_type(todo["hook"]), todo["payload"])
    context = framework.GlobalContext(
        request_id=todo["id"], user="alice@example.com", tenant_id="blue", server_id="files", metadata={"tool": {"n": 9007199254740993, "none": None}}
    )
    table = todo.get("table")
    try:
        if todo.get("plugin"):
            result, contexts = await manager.invoke_hook_for_plugin(todo["plugin"], todo["hook"], payload, context), None
        else:
            result, contexts = await manager.invoke_hook(todo["hook"], payload, context, local_contexts=tables.get(table))
    except framework.PluginError as e:
        return {"error": plain(e.error)}
    seen = {"result": plain(result), "global_state": context.state}
    if result.violation:
        seen["refused_by"] = result.violation.plugin_name
    if table:
        tables[table] = contexts
        seen["contexts"] = [plain(c) for c in contexts.values()]
    return seen


async def main(task):
    framework = importlib.import_module(task["module"])
    hooks = importlib.import_module(task["module"] + ".hooks.registry")
    registry = hooks.get_hook_registry()
    kinds = {str(getattr(h, "value", h)): h for h in registry.get_registered_hooks()}
    like = kinds["tool_pre_invoke"]
    registry.register_hook("interop_custom", registry.get_payload_type(like), registry.get_result_type(like))
    try:  # as the gateway of this line makes it
        policies = {"hook_policies": importlib.import_module("mcpgateway.plugins.policy").HOOK_PAYLOAD_POLICIES}
    except ImportError:
        policies = {}
    manager = framework.PluginManager(task["config"], **policies)
    try:
        await manager.initialize()
    except (Exception, asyncio.CancelledError) as e:  # the newer lines give up by cancelling themselves
        return {"failure": f"{type(e).__name__}: {e}"}
    report = {"hooks": sorted(kinds), "plugins": {}, "steps": []}
    for ref in manager.config.plugins:
        plugin = manager.get_plugin(ref.name)
        report["plugins"][ref.name] = plain(plugin.config) if plugin else None
    tables = {}
    for todo in task["steps"]:
        report["steps"].append(await step(manager, framework, registry, todo, tables))
    await manager.shutdown()
    return report


logging.disable(logging.CRITICAL)
found = asyncio.run(main(json.loads(sys.argv[1])))
print(json.dumps(found))

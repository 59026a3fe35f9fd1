// Package plugin is the contract between Sallyport and a guardrail plugin: the
// hooks, what a plugin is given at each, and what it may answer.
//
// The contract is raw. A [Plugin] names the hooks it implements and is invoked
// with the hook's payload as the JSON that crossed the wire, because a plugin
// in another process learns and serves its hooks at run time, custom hooks
// exist, and a payload that is never re-encoded keeps every number, key order
// and unknown field it came with. A gateway cannot tell a plugin in its own
// process from one behind mutual TLS: both are a Plugin.
//
// A plugin is made by a [Kind], the unit that plugin/server serves:
//
//	server.Main(plugin.Kind{Name: "hello", Hooks: …, New: newHello})
//
// Authors rarely implement Plugin themselves. They write a type with one method
// for each hook that it needs, such as [ToolPreInvoker], and [New] makes a Plugin
// of it; [Config.Decode] reads its configuration, [MapStrings] and [SetMember]
// change a payload without touching the rest of it.
//
// This package uses the standard library only.
package plugin

internal import EPModel

extension DocumentSchema {
  /// The schema of a manifest by its `kind`: of LeaderWorkerSet and DisaggregatedSet the fields of
  /// `api/leaderworkerset/v1` and `api/disaggregatedset/v1` of kubernetes-sigs/lws 0.10, of others those of
  /// Kubernetes' own API, as far as they are written here. Nil for a kind that is not.
  static func kubernetes(_ kind: String) -> DocumentSchema? {
    switch kind {
    case "LeaderWorkerSet":
      return manifest(kind, "leaderworkerset.x-k8s.io/v1", [Field("spec", group, isRequired: true)])
    case "DisaggregatedSet":
      return manifest(
        kind, "disaggregatedset.x-k8s.io/v1",
        [
          Field(
            "spec",
            .object([
              Field("slices", .int(least: 1)),
              Field("roles", .list(role, 2...10), isRequired: true),
            ]), isRequired: true)
        ])
    case "ConfigMap": return manifest(kind, "v1", [Field("data", .map(.text))])
    case "ServiceAccount": return manifest(kind, "v1", [])
    case "Role":
      return manifest(
        kind, "rbac.authorization.k8s.io/v1",
        [
          Field(
            "rules",
            .list(
              .object([
                // The core group has an empty name.
                Field("apiGroups", .list(.choice([""])), isRequired: true),
                Field("resources", .list(.text), isRequired: true),
                Field("verbs", .list(.choice(["get", "list", "watch"])), isRequired: true),
              ])), isRequired: true)
        ])
    case "RoleBinding":
      return manifest(
        kind, "rbac.authorization.k8s.io/v1",
        [
          Field(
            "roleRef",
            .object([
              Field("apiGroup", .choice(["rbac.authorization.k8s.io"]), isRequired: true),
              Field("kind", .choice(["Role"]), isRequired: true),
              Field("name", .label(most: 63), isRequired: true),
            ]), isRequired: true),
          Field(
            "subjects",
            .list(
              .object([
                Field("kind", .choice(["ServiceAccount"]), isRequired: true),
                Field("name", .label(most: 63), isRequired: true),
              ])), isRequired: true),
        ])
    case "Deployment":
      return manifest(
        kind, "apps/v1",
        [
          Field(
            "spec",
            .object([
              Field("replicas", .int(least: 0)),
              Field(
                "selector", .object([Field("matchLabels", .map(.text), isRequired: true)]),
                isRequired: true), Field("template", pod, isRequired: true),
            ]), isRequired: true)
        ])
    case "Service":
      return manifest(
        kind, "v1",
        [
          Field(
            "spec",
            .object([
              Field("selector", .map(.text)),
              Field(
                "ports",
                .list(
                  .object([
                    Field("port", .int(least: 1), isRequired: true), Field("targetPort", .text),
                  ])), isRequired: true),
            ]), isRequired: true)
        ])
    default: return nil
    }
  }

  private static func manifest(
    _ kind: String, _ version: String, _ fields: [Field]
  ) -> DocumentSchema {
    .object(
      [
        Field("apiVersion", .choice([version]), isRequired: true),
        Field("kind", .choice([kind]), isRequired: true),
        Field(
          "metadata",
          .object([
            // Pods of a group add its number, theirs and a hash to the name.
            Field("name", .label(most: 63), isRequired: true), Field("labels", .map(.text)),
          ]), isRequired: true),
      ] + fields)
  }

  private static let role = DocumentSchema.object([
    Field("name", .label(most: 63), isRequired: true),
    Field("metadata", .object([Field("labels", .map(.text))])),
    Field("spec", group, isRequired: true),
  ])

  /// The spec of a LeaderWorkerSet.
  private static let group = DocumentSchema.object([
    Field("replicas", .int(least: 1)),
    Field(
      "leaderWorkerTemplate",
      .object([
        Field("size", .int(least: 1)),
        Field("restartPolicy", .choice(["Default", "None", "RecreateGroupOnPodRestart"])),
        Field("leaderTemplate", pod), Field("workerTemplate", pod, isRequired: true),
      ]), isRequired: true),
  ])

  private static let pod = DocumentSchema.object([
    Field(
      "metadata", .object([Field("labels", .map(.text)), Field("annotations", .map(.text))])),
    Field(
      "spec",
      .object([
        Field("serviceAccountName", .label(most: 63)),
        Field("containers", .list(container), isRequired: true), Field("volumes", .list(volume)),
      ]), isRequired: true),
  ])

  private static let container = DocumentSchema.object([
    Field("name", .label(most: 63), isRequired: true), Field("image", .text, isRequired: true),
    Field("command", .list(.text)), Field("args", .list(.text)),
    Field(
      "env",
      .list(
        .object([
          Field("name", .text, isRequired: true), Field("value", .text),
          Field(
            "valueFrom",
            .object([
              Field("fieldRef", .object([Field("fieldPath", .choice(["status.podIP"]))]))
            ])),
        ]))),
    Field(
      "ports",
      .list(
        .object([
          Field("containerPort", .int(least: 1), isRequired: true), Field("name", .label(most: 15)),
        ]))),
    Field(
      "readinessProbe",
      .object([
        Field("httpGet", .object([Field("path", .text), Field("port", .text, isRequired: true)])),
        Field("periodSeconds", .int(least: 1)), Field("failureThreshold", .int(least: 1)),
      ])),
    Field("resources", .object([Field("limits", .map(.text)), Field("requests", .map(.text))])),
    Field(
      "securityContext",
      .object([Field("capabilities", .object([Field("add", .list(.text))]))])),
    Field(
      "volumeMounts",
      .list(
        .object([
          Field("name", .label(most: 63), isRequired: true),
          Field("mountPath", .text, isRequired: true),
        ]))),
  ])

  private static let volume = DocumentSchema.object([
    Field("name", .label(most: 63), isRequired: true),
    Field(
      "emptyDir",
      .object([Field("medium", .choice(["", "Memory"])), Field("sizeLimit", .text)])),
    Field("configMap", .object([Field("name", .label(most: 253), isRequired: true)])),
    Field(
      "hostPath",
      .object([
        Field("path", .text, isRequired: true), Field("type", .choice(["", "Directory"])),
      ])),
  ])
}

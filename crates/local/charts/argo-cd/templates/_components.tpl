{{/*
The parts of Argo CD, each with what the public chart gives it: kind, program,
ports of its Service, and permissions. components.yaml makes the objects.
*/}}
{{- define "argo-cd.components" -}}
controller:
  kind: StatefulSet
  program: argocd-application-controller
  policy: metrics
  clusterRules:
  - {apiGroups: ["*"], resources: ["*"], verbs: ["*"]}
  - {nonResourceURLs: ["*"], verbs: ["*"]}
  rules:
  - {apiGroups: [""], resources: [secrets, configmaps], verbs: [get, list, watch]}
  - apiGroups: [argoproj.io]
    resources: [applications, applicationsets, appprojects]
    verbs: [create, get, list, watch, update, patch, delete]
  - {apiGroups: [""], resources: [events], verbs: [create, list]}
  - {apiGroups: [apps], resources: [deployments], verbs: [get, list, watch]}
server:
  kind: Deployment
  program: argocd-server
  policy: any
  service:
  - {name: http, port: {{ .Values.server.service.servicePortHttp }}, targetPort: server}
  - {name: https, port: {{ .Values.server.service.servicePortHttps }}, targetPort: server}
  clusterRules:
  - {apiGroups: ["*"], resources: ["*"], verbs: [delete, get, patch]}
  - {apiGroups: [""], resources: [events], verbs: [list, create]}
  - {apiGroups: [""], resources: [pods, pods/log], verbs: [get]}
  - apiGroups: [argoproj.io]
    resources: [applications, applicationsets]
    verbs: [get, list, update, watch]
  - {apiGroups: [batch], resources: [jobs], verbs: [create]}
  - {apiGroups: [argoproj.io], resources: [workflows], verbs: [create]}
  rules:
  - apiGroups: [""]
    resources: [secrets, configmaps]
    verbs: [create, get, list, watch, update, patch, delete]
  - apiGroups: [argoproj.io]
    resources: [applications, applicationsets, appprojects]
    verbs: [create, get, list, watch, update, delete, patch]
  - {apiGroups: [""], resources: [events], verbs: [create, list]}
repoServer:
  kind: Deployment
  program: argocd-repo-server
  policy: argocd
  service:
  - {name: tcp-repo-server, port: 8081, targetPort: server}
  rules: []
applicationSet:
  kind: Deployment
  program: argocd-applicationset-controller
  service:
  - {name: http-webhook, port: 7000, targetPort: webhook}
  rules:
  - apiGroups: [argoproj.io]
    resources: [applications, applicationsets, applicationsets/finalizers]
    verbs: [create, delete, get, list, patch, update, watch]
  - apiGroups: [argoproj.io]
    resources: [applicationsets/status]
    verbs: [get, patch, update]
  - {apiGroups: [argoproj.io], resources: [appprojects], verbs: [get, list, watch]}
  - {apiGroups: [""], resources: [events], verbs: [create, get, list, patch, watch]}
  - apiGroups: [""]
    resources: [configmaps]
    verbs: [create, update, delete, get, list, patch, watch]
  - {apiGroups: [""], resources: [secrets], verbs: [get, list, watch]}
  - {apiGroups: [apps, extensions], resources: [deployments], verbs: [get, list, watch]}
  - {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    resourceNames: [58ac56fa.applicationsets.argoproj.io]
    verbs: [get, update, create]
redis:
  kind: Deployment
  policy: argocd
  args: [--save, "", --appendonly, "no", --requirepass $(REDIS_PASSWORD)]
  env:
  - name: REDIS_PASSWORD
    valueFrom: {secretKeyRef: {name: argocd-redis, key: auth}}
  service:
  - {name: tcp-redis, port: {{ .Values.redis.servicePort }}, targetPort: redis}
dex:
  kind: Deployment
  policy: argocd
  args: [/shared/argocd-dex, rundex]
  service:
  - {name: http, port: 5556, targetPort: http}
  - {name: grpc, port: 5557, targetPort: grpc}
  rules:
  - {apiGroups: [""], resources: [secrets, configmaps], verbs: [get, list, watch]}
notifications:
  kind: Deployment
  program: argocd-notifications
  policy: metrics
  clusterRules:
  - apiGroups: [argoproj.io]
    resources: [applications, appprojects]
    verbs: [get, list, watch, update, patch]
  - {apiGroups: [""], resources: [configmaps, secrets], verbs: [list, watch]}
  rules:
  - apiGroups: [argoproj.io]
    resources: [applications, appprojects]
    verbs: [get, list, watch, update, patch]
  - {apiGroups: [""], resources: [configmaps, secrets], verbs: [list, watch]}
  - apiGroups: [""]
    resources: [configmaps]
    resourceNames: [argocd-notifications-cm]
    verbs: [get]
  - apiGroups: [""]
    resources: [secrets]
    resourceNames: [argocd-notifications-secret]
    verbs: [get]
{{- end -}}

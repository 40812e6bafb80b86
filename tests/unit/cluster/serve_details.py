"""What Ray's dashboard answers, made with Ray's own schema."""

from __future__ import annotations

from ray.serve.schema import ServeInstanceDetails

IDS = {"node_id": "n", "node_ip": "127.0.0.1", "node_instance_id": "i", "actor_id": "a", "actor_name": "A"}


def details(*applications: dict[str, object]) -> bytes:
    """The body of the reply for these applications."""
    instance = {
        "controller_info": IDS,
        "http_options": {"host": "127.0.0.1", "port": 8000},
        "proxies": {},
        "applications": {str(app["name"]): app for app in applications},
    }
    return ServeInstanceDetails.model_validate(instance).model_dump_json(exclude_unset=True).encode()


def application(
    name: str, status: str, replicas: tuple[str, ...] = (), *, message: str = "", memory: int | None = None
) -> dict[str, object]:
    resources = {"CPU": 0.1} if memory is None else {"CPU": 0.1, "memory": memory}
    deployment = {
        "name": "Model",
        "status": "UPDATING",
        "status_trigger": "CONFIG_UPDATE_STARTED",
        "message": "",
        "deployment_config": {"name": "Model"},
        "target_num_replicas": 2,
        "required_resources": resources,
        "replicas": [
            {**IDS, "replica_id": f"r{i}", "state": s, "start_time_s": 0} for i, s in enumerate(replicas)
        ],
    }
    return {
        "name": name,
        "route_prefix": None,
        "docs_path": None,
        "status": status,
        "message": message,
        "last_deployed_time_s": 0,
        "source": "declarative",
        "deployments": {"Model": deployment},
        "external_scaler_enabled": False,
    }

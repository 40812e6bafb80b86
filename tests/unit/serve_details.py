"""What Serve's controller and Ray's dashboard answer, made with Ray's own schema."""

from __future__ import annotations

from ray.serve.schema import ServeInstanceDetails

IDS = {"node_id": "n", "node_ip": "127.0.0.1", "node_instance_id": "i", "actor_id": "a", "actor_name": "A"}


def details(*applications: dict[str, object]) -> bytes:
    """The body of the dashboard's reply for these applications."""
    return instance_details(*applications).model_dump_json(exclude_unset=True).encode()


def instance_details(*applications: dict[str, object]) -> ServeInstanceDetails:
    instance = {
        "controller_info": IDS,
        "http_options": {"host": "127.0.0.1", "port": 8000},
        "proxies": {},
        "applications": {str(app["name"]): app for app in applications},
    }
    return ServeInstanceDetails.model_validate(instance)


def application(
    name: str,
    status: str,
    replicas: tuple[str, ...] = (),
    *,
    message: str = "",
    memory: int | None = None,
    node_id: str | None = "n",
    user_config: object = None,
) -> dict[str, object]:
    """One whose replicas, wanted twice, are in these states, on that node, since 1970."""
    resources = {"CPU": 0.1} if memory is None else {"CPU": 0.1, "memory": memory}
    deployment = {
        "name": "Model",
        "status": "UPDATING",
        "status_trigger": "CONFIG_UPDATE_STARTED",
        "message": "",
        "deployment_config": {"name": "Model", "user_config": user_config},
        "target_num_replicas": 2,
        "required_resources": resources,
        "replicas": [
            {**IDS, "node_id": node_id, "replica_id": f"r{i}", "state": s, "start_time_s": 0}
            for i, s in enumerate(replicas)
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

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.command import Command
from ...models.failure import Failure
from ...models.transfer_operation import TransferOperation
from ...types import UNSET, Response, Unset


def _get_kwargs(
    uuid: str,
    *,
    body: Command | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/sessions/{uuid}/commands/transfer/cancel".format(
            uuid=quote(str(uuid), safe=""),
        ),
    }

    if not isinstance(body, Unset):
        _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Failure | TransferOperation | None:
    if response.status_code == 202:
        response_202 = TransferOperation.from_dict(response.json())

        return response_202

    if response.status_code == 400:
        response_400 = Failure.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Failure.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Failure.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Failure.from_dict(response.json())

        return response_404

    if response.status_code == 408:
        response_408 = Failure.from_dict(response.json())

        return response_408

    if response.status_code == 409:
        response_409 = Failure.from_dict(response.json())

        return response_409

    if response.status_code == 413:
        response_413 = Failure.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = Failure.from_dict(response.json())

        return response_415

    if response.status_code == 429:
        response_429 = Failure.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = Failure.from_dict(response.json())

        return response_500

    if response.status_code == 502:
        response_502 = Failure.from_dict(response.json())

        return response_502

    if response.status_code == 503:
        response_503 = Failure.from_dict(response.json())

        return response_503

    if response.status_code == 504:
        response_504 = Failure.from_dict(response.json())

        return response_504

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Failure | TransferOperation]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    uuid: str,
    *,
    client: AuthenticatedClient | Client,
    body: Command | Unset = UNSET,
) -> Response[Failure | TransferOperation]:
    """End a transfer

     The call is parked, and the other side is hung up. The webhook is `call.transfer_ended`, or
    `call.transfer_failed` if the
    other side had not answered, with the reason `cancelled`.

    Args:
        uuid (str): A call: its node, and the UUID of its channel in lower case.
        body (Command | Unset): The optional fields of every command.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | TransferOperation]
    """

    kwargs = _get_kwargs(
        uuid=uuid,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    uuid: str,
    *,
    client: AuthenticatedClient | Client,
    body: Command | Unset = UNSET,
) -> Failure | TransferOperation | None:
    """End a transfer

     The call is parked, and the other side is hung up. The webhook is `call.transfer_ended`, or
    `call.transfer_failed` if the
    other side had not answered, with the reason `cancelled`.

    Args:
        uuid (str): A call: its node, and the UUID of its channel in lower case.
        body (Command | Unset): The optional fields of every command.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | TransferOperation
    """

    return sync_detailed(
        uuid=uuid,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    uuid: str,
    *,
    client: AuthenticatedClient | Client,
    body: Command | Unset = UNSET,
) -> Response[Failure | TransferOperation]:
    """End a transfer

     The call is parked, and the other side is hung up. The webhook is `call.transfer_ended`, or
    `call.transfer_failed` if the
    other side had not answered, with the reason `cancelled`.

    Args:
        uuid (str): A call: its node, and the UUID of its channel in lower case.
        body (Command | Unset): The optional fields of every command.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | TransferOperation]
    """

    kwargs = _get_kwargs(
        uuid=uuid,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    uuid: str,
    *,
    client: AuthenticatedClient | Client,
    body: Command | Unset = UNSET,
) -> Failure | TransferOperation | None:
    """End a transfer

     The call is parked, and the other side is hung up. The webhook is `call.transfer_ended`, or
    `call.transfer_failed` if the
    other side had not answered, with the reason `cancelled`.

    Args:
        uuid (str): A call: its node, and the UUID of its channel in lower case.
        body (Command | Unset): The optional fields of every command.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | TransferOperation
    """

    return (
        await asyncio_detailed(
            uuid=uuid,
            client=client,
            body=body,
        )
    ).parsed
